// rope: both layouts, both directions, a part of the head or all of it, rows out of range.
import fc from "fast-check";
import type { Random } from "../../core/random.js";
import { rope } from "../../ops/rope.js";
import {
  among,
  draw,
  few,
  fewPositive,
  floats,
  ropeLayout,
  rowIndices,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import type { PlainOperand } from "../operands.js";

/** Cosines and sines of random angles. */
export function turns(random: Random, rows: number, pairs: number): PlainOperand {
  const data = new Float32Array(rows * 2 * pairs);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < pairs; i++) {
      const angle = 2 * Math.PI * random.uniform();
      data[row * 2 * pairs + i] = Math.cos(angle);
      data[row * 2 * pairs + pairs + i] = Math.sin(angle);
    }
  }
  return { shape: [rows, 2 * pairs], data };
}

/** Half the components of a head that turn. */
export const pairs: fc.Arbitrary<number> = among(1, 2, 3, 4, 5, 8, 9, 16, 0);
/** The components that do not. */
export const rest: fc.Arbitrary<number> = among(0, 0, 1, 2, 3, 8);

export const ropeCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    { B: few, T: few, H: fewPositive, pairs, rest, rows: few, layout: ropeLayout, inverse: fc.boolean(), taste },
    ({ B, T, H, pairs, rest, rows, layout, inverse, taste }, random) => ({
      inputs: [
        floats(random, [B, T, H, 2 * pairs + rest], taste),
        turns(random, rows, pairs),
        rowIndices(random, [B, T], rows),
      ],
      run: ([x, table, rows]) => [rope(x, table, rows, { layout, inverse })],
      params: [0],
      smooth: taste === "normal",
    }),
  );
