// reduce: sums and extremes over any axes, of every type; none, all and empty ranges too.
import fc from "fast-check";
import { max, min, sum } from "../../ops/reduce.js";
import { anyType, anyWords, draw, floats, shapes, special, taste, type DrawnCall } from "../arbitraries.js";

const functions = { sum, max, min };
const op = fc.constantFrom("sum" as const, "max" as const, "min" as const);

export const reduceCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, op, dtype: anyType, taste, axes: fc.nat(15) }, ({ shape, op, dtype, taste, axes }, random) => {
    const chosen = shape.map((_, axis) => axis).filter((axis) => (axes >> axis) & 1);
    return {
      inputs: [dtype === "f32" ? floats(random, shape, taste) : anyWords(random, shape, dtype)],
      run: ([x]) => [functions[op](x, chosen)],
      params: dtype === "f32" && !shape.includes(0) ? [0] : [],
      smooth: op === "sum" ? taste === "normal" : taste === "grid",
    };
  });

export const reduceSpecialCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, op }, ({ shape, op }, random) => ({
    inputs: [special(random, shape)],
    run: ([x]) => [functions[op](x)],
  }));
