// swiglu: gates of either sign, also where the sigmoid saturates.
import type fc from "fast-check";
import { swiglu } from "../../ops/swiglu.js";
import { among, draw, extent, floats, lead, taste, type DrawnCall } from "../arbitraries.js";

export const swigluCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, scale: among(1, 10), taste }, ({ lead, width, scale, taste }, random) => ({
    inputs: [floats(random, [...lead, 2 * width], taste, scale)],
    run: ([gateUp]) => [swiglu(gateUp)],
    params: [0],
    smooth: taste === "normal",
  }));
