// Sum, maximum or minimum over some axes, each kept with extent 1. Integer sums wrap; max and min keep NaN; over nothing they give the least
// and the greatest number of the type.
import { BYTES_PER_ELEMENT, type DType } from "../../../core/dtype.js";
import { stridesOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { broadcastStrides } from "../../loops.js";
import { forEachRun } from "../nest.js";
import { elements } from "../read.js";

type Reduction = "sum" | "max" | "min";

export const reduce: Kernel<"reduce", void> = ([x], [y], { op }) => {
  const from = elements(x);
  const to = elements(y);
  const sums = new Float64Array(to.length).fill(neutral(op, x.dtype));
  const integer = x.dtype !== "f32";
  forEachRun(x.shape, [stridesOf(x.shape), broadcastStrides(y.shape, x.shape)], ([xAt, yAt], count, [xStep, yStep]) => {
    if (op !== "sum") {
      for (let i = 0; i < count; i++) {
        const value = from[xAt + i * xStep];
        const old = sums[yAt + i * yStep];
        sums[yAt + i * yStep] = op === "max" ? Math.max(old, value) : Math.min(old, value);
      }
    } else if (integer) {
      for (let i = 0; i < count; i++) sums[yAt + i * yStep] = (sums[yAt + i * yStep] + from[xAt + i * xStep]) | 0;
    } else if (yStep === 0) {
      let sum = sums[yAt];
      for (let i = 0; i < count; i++) sum += from[xAt + i * xStep];
      sums[yAt] = sum;
    } else {
      for (let i = 0; i < count; i++) sums[yAt + i * yStep] += from[xAt + i * xStep];
    }
  });
  for (let i = 0; i < to.length; i++) to[i] = sums[i];
};

function neutral(op: Reduction, dtype: DType): number {
  if (op === "sum") return 0;
  const bits = 8 * BYTES_PER_ELEMENT;
  if (dtype === "f32") return op === "max" ? -Infinity : Infinity;
  if (dtype === "u32") return op === "max" ? 0 : 2 ** bits - 1;
  return op === "max" ? -(2 ** (bits - 1)) : 2 ** (bits - 1) - 1;
}
