// addRmsNorm: the sum and its norm, and gradients that arrive at both.
import type fc from "fast-check";
import { addRmsNorm } from "../../ops/add-rms-norm.js";
import { draw, epsilon, extent, floats, lead, taste, type DrawnCall } from "../arbitraries.js";

export const addRmsNormCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, eps: epsilon, taste }, ({ lead, width, eps, taste }, random) => ({
    inputs: [
      floats(random, [...lead, width], taste),
      floats(random, [...lead, width], taste),
      floats(random, [width], taste),
    ],
    run([x, residual, weight]) {
      const { sum, y } = addRmsNorm(x, residual, weight, eps);
      return [sum, y];
    },
    params: [0, 1, 2],
    smooth: taste === "normal",
  }));
