// softmax: rows of any width, with equal, far apart and very large numbers.
import type fc from "fast-check";
import { softmax } from "../../ops/softmax.js";
import { among, draw, extent, floats, lead, level, raised, taste, type DrawnCall } from "../arbitraries.js";

export const softmaxCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, scale: among(1, 8), level, taste }, ({ lead, width, scale, level, taste }, random) => ({
    inputs: [raised(floats(random, [...lead, width], taste, scale), level)],
    run: ([x]) => [softmax(x)],
    params: width === 0 ? [] : [0],
    smooth: taste === "normal",
  }));
