// appendKV: plain and packed pools (each in a scheme of its own), slots taken twice, out of range, and slots that nobody names.
import type fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import type { Random } from "../../core/random.js";
import type { Shape } from "../../core/shape.js";
import { appendKV } from "../../ops/append-kv.js";
import { dequantize } from "../../ops/dequantize.js";
import { PackedTensor } from "../../tensor/packed-tensor.js";
import type { Tensor } from "../../tensor/tensor.js";
import {
  anyWords,
  draw,
  few,
  fewPositive,
  floats,
  positive,
  rowIndices,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import type { Handle, HostOperand } from "../operands.js";
import { packedOperand, poolStoredAs, type SchemeChoice } from "../packings.js";

export function appendKVCase(features: Features): fc.Arbitrary<DrawnCall> {
  const stored = poolStoredAs(features);
  return draw(
    { B: few, T: few, N: fewPositive, Hkv: fewPositive, d: positive, kAs: stored, vAs: stored, taste },
    ({ B, T, N, Hkv, d, kAs, vAs, taste }, random) => {
      const pool = (as: SchemeChoice | undefined): HostOperand =>
        poolOf(random, [N, Hkv, d], as, features.accuracy === "wgsl");
      return {
        inputs: [
          floats(random, [B, T, Hkv, d], taste),
          floats(random, [B, T, Hkv, d], taste),
          rowIndices(random, [B, T], N),
          pool(kAs),
          pool(vAs),
        ],
        run([k, v, slots, kPool, vPool]) {
          appendKV(k, v, slots, kPool, vPool);
          return [kPool, vPool].flatMap(readable);
        },
        targets: [3, 4],
      };
    },
  );
}

/** What lies in the pool before: any bits at all where it is plain. */
function poolOf(random: Random, shape: Shape, as: SchemeChoice | undefined, finite: boolean): HostOperand {
  return as ? packedOperand(random, shape, as) : anyWords(random, shape, "f32", finite);
}

/** A pool, and where it is packed both its numbers and its words. */
function readable(pool: Handle): readonly Tensor[] {
  return pool instanceof PackedTensor ? [dequantize(pool), ...pool.parts.map((part) => part.retain())] : [pool];
}
