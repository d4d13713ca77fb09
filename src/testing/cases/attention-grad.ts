// attentionGrad over the whole meaning of attention, with the result that attention itself gives; any of the gradients left out.
import type fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { attentionGrad } from "../../ops/attention-grad.js";
import { attention } from "../../ops/attention.js";
import { among, draw, few, fewPositive, floats, taste, type DrawnCall } from "../arbitraries.js";
import { matrix, poolStoredAs } from "../packings.js";
import { headSize, keyRows, tokens } from "./attention.js";
import { attentionAttrs, tables } from "../visibility.js";

export function attentionGradCase(features: Features): fc.Arbitrary<DrawnCall> {
  const stored = poolStoredAs(features);
  return draw(
    {
      ...{ B: few, T: tokens, S: keyRows, N: among(1, 2, 5, 9, 34), Hkv: fewPositive, G: fewPositive },
      ...{ d: headSize, segments: among(0, 1, 2), attrs: attentionAttrs, kAs: stored, vAs: stored, taste },
      wants: among(7, 1, 2, 4, 6),
    },
    ({ B, T, S, N, Hkv, G, d, segments, attrs, kAs, vAs, taste, wants }, random) => {
      const { queries, keys } = tables(random, [B, T, S, N], attrs, segments);
      return {
        inputs: [
          floats(random, [B, T, Hkv * G, d], taste),
          matrix(random, [N, Hkv, d], kAs, taste),
          matrix(random, [N, Hkv, d], vAs, taste),
          queries,
          keys,
          floats(random, [B, T, Hkv * G, d], taste),
        ],
        run([q, k, v, queries, keys, dy]) {
          const y = attention(q, k, v, queries, keys, attrs);
          return attentionGrad(q, k, v, queries, keys, y, dy, attrs, [
            (wants & 1) > 0,
            (wants & 2) > 0,
            (wants & 4) > 0,
          ]);
        },
      };
    },
  );
}
