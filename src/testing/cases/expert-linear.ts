// expertLinear: one row for all slots or one each, empty slots, any stored weight, f32 and q8 activations.
import fc from "fast-check";
import { expertLinear } from "../../ops/expert-linear.js";
import {
  activations,
  draw,
  extent,
  fewPositive,
  floats,
  rowIndices,
  slotRows,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import { matrix, plainOf, storedAs } from "../packings.js";

export const expertLinearCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      ...{ R: slotRows, k: fewPositive, E: fewPositive, width: extent, out: extent },
      ...{ each: fc.boolean(), activations, stored: storedAs, taste },
    },
    ({ R, k, E, width, out, each, activations, stored, taste }, random) => {
      const inputs = [
        floats(random, each ? [R, k, width] : [R, width], taste),
        matrix(random, [E, out, width], stored, taste),
        rowIndices(random, [R, k], E),
      ];
      return {
        inputs,
        run: ([x, weight, experts]) => [expertLinear(x, weight, experts, { activations })],
        params: plainOf(inputs, [0, 1]),
        straightThrough: activations === "q8",
        smooth: taste === "normal",
      };
    },
  );
