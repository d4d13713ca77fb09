// swigluGrad: gates of either sign, also where the sigmoid saturates.
import type fc from "fast-check";
import { swigluGrad } from "../../ops/swiglu-grad.js";
import { among, draw, extent, floats, lead, taste, type DrawnCall } from "../arbitraries.js";

export const swigluGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, scale: among(1, 10), taste }, ({ lead, width, scale, taste }, random) => ({
    inputs: [floats(random, [...lead, 2 * width], taste, scale), floats(random, [...lead, width], taste)],
    run: ([gateUp, dy]) => [swigluGrad(gateUp, dy)],
  }));
