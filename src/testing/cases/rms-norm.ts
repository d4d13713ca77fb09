// rmsNorm: rows of any width, of any magnitude, zero rows too.
import type fc from "fast-check";
import { rmsNorm } from "../../ops/rms-norm.js";
import { draw, epsilon, extent, floats, lead, taste, type DrawnCall } from "../arbitraries.js";

export const rmsNormCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, eps: epsilon, taste }, ({ lead, width, eps, taste }, random) => ({
    inputs: [floats(random, [...lead, width], taste), floats(random, [width], taste)],
    run: ([x, weight]) => [rmsNorm(x, weight, eps)],
    params: [0, 1],
    smooth: taste === "normal",
  }));
