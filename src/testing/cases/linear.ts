// linear: any stored weight, with and without a bias, f32 and q8 activations, any number of axes before the last.
import fc from "fast-check";
import { linear } from "../../ops/linear.js";
import {
  activations,
  among,
  draw,
  extent,
  floats,
  lead,
  outputs,
  taste,
  type DrawnCall,
  type Taste,
} from "../arbitraries.js";
import type { Random } from "../../core/random.js";
import type { Shape } from "../../core/shape.js";
import { isPacked, type HostOperand } from "../operands.js";
import { packedOperand, storedAs, type SchemeChoice } from "../packings.js";

/** A plain or packed matrix. */
export function matrix(random: Random, shape: Shape, stored: SchemeChoice | undefined, of: Taste): HostOperand {
  return stored ? packedOperand(random, shape, stored, of) : floats(random, shape, of);
}

/** The operands among `places` that gradients may be taken by. */
export const plainOf = (inputs: readonly HostOperand[], places: readonly number[]): number[] =>
  places.filter((i) => inputs[i] !== undefined && !isPacked(inputs[i]));

export const linearCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      lead,
      width: extent,
      blocks: among(0, 0, 1),
      out: outputs,
      bias: fc.boolean(),
      activations,
      stored: storedAs,
      taste,
    },
    ({ lead, width, blocks, out, bias, activations, stored, taste }, random) => {
      const inner = 32 * blocks + width;
      const inputs = [
        floats(random, [...lead, inner], taste),
        matrix(random, [out, inner], stored, taste),
        bias ? floats(random, [out], taste) : undefined,
      ];
      return {
        inputs,
        run: ([x, weight, bias]) => [linear(x, weight, bias, { activations })],
        // Rounded activations count as the identity, which no slope and no composite shows.
        params: activations === "q8" ? [] : plainOf(inputs, [0, 1, 2]),
        smooth: taste === "normal",
      };
    },
  );
