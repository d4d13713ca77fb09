// loss[r] = log(sum of exp(logits[r])) - logits[r, target]; a target of -100, or out of range, gives 0.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats, ints } from "../read.js";

export const crossEntropy: Kernel<"crossEntropy", void> = ([logits, targets], [loss]) => {
  const { rows, width } = rowsOf(logits.shape);
  const from = floats(logits);
  const wanted = ints(targets);
  const out = floats(loss);
  for (let r = 0; r < rows; r++) {
    const target = wanted[r];
    const at = r * width;
    out[r] = target < 0 || target >= width ? 0 : logSumExp(from, at, width) - from[at + target];
  }
};

/** log of the sum of exp(x) over a row, in f64. */
export function logSumExp(x: Float32Array, at: number, width: number): number {
  let max = -Infinity;
  for (let i = 0; i < width; i++) max = Math.max(max, x[at + i]);
  let sum = 0;
  for (let i = 0; i < width; i++) sum += Math.exp(x[at + i] - max);
  return max + Math.log(sum);
}
