// cast: between all types. Towards integers it truncates and saturates, and NaN becomes 0.
import type fc from "fast-check";
import { cast } from "../../ops/cast.js";
import { anyType, anyWords, draw, floats, shapes, special, taste, type DrawnCall } from "../arbitraries.js";

export const castCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, from: anyType, to: anyType, taste }, ({ shape, from, to, taste }, random) => ({
    inputs: [from === "f32" ? floats(random, shape, taste, 100) : anyWords(random, shape, from)],
    run: ([x]) => [cast(x, to)],
  }));

export const castSpecialCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes }, ({ shape }, random) => ({
    inputs: [special(random, shape)],
    run: ([x]) => [cast(x, "i32"), cast(x, "u32")],
  }));
