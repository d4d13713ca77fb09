// y = exp(x - max) / sum of exp(x - max), over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const softmax: Kernel<"softmax", void> = ([x], [y]) => {
  const { rows, width } = rowsOf(x.shape);
  const from = floats(x);
  const to = floats(y);
  const exps = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const at = r * width;
    const sum = exponentials(from, at, width, exps);
    for (let i = 0; i < width; i++) to[at + i] = exps[i] / sum;
  }
};

/** exp(x - max) of a row into `exps`; returns their sum. */
export function exponentials(x: Float32Array, at: number, width: number, exps: Float64Array): number {
  let max = -Infinity;
  for (let i = 0; i < width; i++) max = Math.max(max, x[at + i]);
  let sum = 0;
  for (let i = 0; i < width; i++) {
    exps[i] = Math.exp(x[at + i] - max);
    sum += exps[i];
  }
  return sum;
}
