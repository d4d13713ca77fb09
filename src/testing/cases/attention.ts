// attention over its whole meaning: grouped heads, causal or not, windows, sinks, segments, global tokens, soft-cap, packed pools, rows
// without a visible key, and pools that hold NaN where no key looks.
import type fc from "fast-check";
import type { AttentionFunction } from "../../attention/functions.js";
import type { AttentionAttrs, Features } from "../../backends/backend.js";
import { attention } from "../../ops/attention.js";
import { among, draw, few, fewPositive, floats, taste, type DrawnCall, type Taste } from "../arbitraries.js";
import { isPacked } from "../operands.js";
import { matrix, plainOf, poolStoredAs } from "../packings.js";
import { attentionAttrs, spoilUnused, tables } from "../visibility.js";

export const headSize: fc.Arbitrary<number> = among(1, 2, 3, 4, 5, 8, 9, 16, 17, 32);
export const tokens: fc.Arbitrary<number> = among(1, 2, 3, 4, 5, 8, 9, 17, 33, 0);
export const keyRows: fc.Arbitrary<number> = among(1, 2, 3, 4, 5, 8, 9, 17, 33, 0);

export const attentionCase = (features: Features): fc.Arbitrary<DrawnCall> =>
  attentionCalls(features, attention, { T: tokens, S: keyRows, d: headSize, attrs: attentionAttrs, taste });

export interface AttentionDraws {
  readonly T: fc.Arbitrary<number>;
  readonly S: fc.Arbitrary<number>;
  readonly d: fc.Arbitrary<number>;
  readonly attrs: fc.Arbitrary<AttentionAttrs>;
  readonly taste: fc.Arbitrary<Taste>;
}

/** Calls of the op, or of another way to the same. */
export function attentionCalls(
  features: Features,
  attend: AttentionFunction,
  draws: AttentionDraws,
): fc.Arbitrary<DrawnCall> {
  const stored = poolStoredAs(features);
  return draw(
    {
      ...{ B: few, T: draws.T, S: draws.S, N: among(1, 2, 5, 9, 34), Hkv: fewPositive, G: fewPositive },
      ...{ d: draws.d, segments: among(0, 1, 2), attrs: draws.attrs, kAs: stored, vAs: stored, taste: draws.taste },
    },
    ({ B, T, S, N, Hkv, G, d, segments, attrs, kAs, vAs, taste }, random) => {
      const { queries, keys } = tables(random, [B, T, S, N], attrs, segments);
      const inputs = [
        floats(random, [B, T, Hkv * G, d], taste),
        matrix(random, [N, Hkv, d], kAs, taste),
        matrix(random, [N, Hkv, d], vAs, taste),
        queries,
        keys,
      ];
      for (const pool of [inputs[1], inputs[2]]) {
        if (pool && !isPacked(pool) && features.accuracy === "ieee") spoilUnused(pool, keys);
      }
      return {
        inputs,
        run: ([q, k, v, queries, keys]) => [attend(q, k, v, queries, keys, attrs)],
        definition:
          attend === attention ? undefined : ([q, k, v, queries, keys]) => [attention(q, k, v, queries, keys, attrs)],
        params: plainOf(inputs, [0, 1, 2]),
        smooth: taste === "normal",
      };
    },
  );
}
