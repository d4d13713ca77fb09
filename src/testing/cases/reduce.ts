// reduce: sums and extremes over any axes, of every type; none, all and empty ranges too.
import fc from "fast-check";
import { max, min, sum } from "../../ops/reduce.js";
import type { Tensor } from "../../tensor/tensor.js";
import { anyType, anyWords, draw, floats, shapes, special, taste, type DrawnCall } from "../arbitraries.js";

const functions: Readonly<Record<"sum" | "max" | "min", (x: Tensor, axes?: readonly number[]) => Tensor>> = {
  sum,
  max,
  min,
};
/** Each kind of reduction is a case of its own. */
export const reductions: readonly ("sum" | "max" | "min")[] = ["sum", "max", "min"];

export const reduceCase = (op: "sum" | "max" | "min"): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType, taste, axes: fc.nat(15) }, ({ shape, dtype, taste, axes }, random) => {
    const chosen = shape.map((_, axis) => axis).filter((axis) => (axes >> axis) & 1);
    return {
      inputs: [dtype === "f32" ? floats(random, shape, taste) : anyWords(random, shape, dtype)],
      run: ([x]) => [functions[op](x, chosen)],
      params: dtype === "f32" && !shape.includes(0) ? [0] : [],
      smooth: op === "sum" ? taste === "normal" : taste === "grid",
    };
  });

export const reduceSpecialCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes }, ({ shape }, random) => ({
    inputs: [special(random, shape)],
    run: ([x]) => reductions.map((op) => functions[op](x)),
  }));
