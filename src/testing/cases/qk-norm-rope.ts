// qkNormRope: with either, both and no norm; grouped heads; a part of the head turned; rows out of range.
import fc from "fast-check";
import { qkNormRope } from "../../ops/qk-norm-rope.js";
import {
  draw,
  epsilon,
  few,
  fewPositive,
  floats,
  ropeLayout,
  rowIndices,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import { pairs, rest, turns } from "./rope.js";

export const qkNormRopeCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      ...{ B: few, T: few, numHeads: fewPositive, numKvHeads: fewPositive, pairs, rest, rows: few },
      ...{ qNorm: fc.boolean(), kNorm: fc.boolean(), eps: epsilon, layout: ropeLayout, taste },
    },
    ({ B, T, numHeads, numKvHeads, pairs, rest, rows, qNorm, kNorm, eps, layout, taste }, random) => {
      const size = 2 * pairs + rest;
      const inputs = [
        floats(random, [B, T, (numHeads + 2 * numKvHeads) * size], taste),
        qNorm ? floats(random, [size], taste) : undefined,
        kNorm ? floats(random, [size], taste) : undefined,
        turns(random, rows, pairs),
        rowIndices(random, [B, T], rows),
      ];
      return {
        inputs,
        run([qkv, qWeight, kWeight, table, rows]) {
          const { q, k, v } = qkNormRope(qkv, qWeight, kWeight, table, rows, { numHeads, numKvHeads, eps, layout });
          return [q, k, v];
        },
        params: [0, 1, 2].filter((i) => inputs[i] !== undefined),
        smooth: taste === "normal",
      };
    },
  );
