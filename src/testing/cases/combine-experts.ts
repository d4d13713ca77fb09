// combineExperts: any number of slots, none too.
import type fc from "fast-check";
import { combineExperts } from "../../ops/combine-experts.js";
import { draw, extent, few, floats, taste, type DrawnCall } from "../arbitraries.js";

export const combineExpertsCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ R: few, k: few, D: extent, taste }, ({ R, k, D, taste }, random) => ({
    inputs: [floats(random, [R, k, D], taste), floats(random, [R, k], taste)],
    run: ([x, weights]) => [combineExperts(x, weights)],
    params: [0, 1],
    smooth: taste === "normal",
  }));
