// expertMlp: empty slots, any stored weights (each matrix in a scheme of its own), f32 and q8 activations.
import type fc from "fast-check";
import { expertMlp } from "../../ops/expert-mlp.js";
import {
  activations,
  draw,
  fewPositive,
  floats,
  positive,
  rowIndices,
  slotRows,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import { matrix, plainOf, storedAs } from "../packings.js";

export const expertMlpCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      ...{ R: slotRows, k: fewPositive, E: fewPositive, D: positive, I: positive },
      ...{ activations, gateUpAs: storedAs, downAs: storedAs, taste },
    },
    ({ R, k, E, D, I, activations, gateUpAs, downAs, taste }, random) => {
      const inputs = [
        floats(random, [R, D], taste),
        matrix(random, [E, 2 * I, D], gateUpAs, taste),
        matrix(random, [E, D, I], downAs, taste),
        rowIndices(random, [R, k], E),
        floats(random, [R, k], taste),
      ];
      return {
        inputs,
        run: ([x, gateUp, down, experts, weights]) => [expertMlp(x, gateUp, down, experts, weights, { activations })],
        params: plainOf(inputs, [0, 1, 2, 4]),
        straightThrough: activations === "q8",
        smooth: taste === "normal",
      };
    },
  );
