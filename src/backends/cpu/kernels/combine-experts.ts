// y[r] = sum of x[r, j] * weights[r, j] over the slots j, in their order.
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const combineExperts: Kernel<"combineExperts", void> = ([x, weights], [y]) => {
  const [rows, slots, width] = x.shape;
  combineRows(floats(x), floats(weights), 0, floats(y), 0, rows, slots, width);
};

/** Rows of x from its start, with weights from slot `weightsAt` and results from `yAt` on. */
export function combineRows(
  x: Float32Array,
  weights: Float32Array,
  weightsAt: number,
  y: Float32Array,
  yAt: number,
  rows: number,
  slots: number,
  width: number,
): void {
  const sums = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let j = 0; j < slots; j++) {
      const weight = weights[weightsAt + r * slots + j];
      const at = (r * slots + j) * width;
      for (let i = 0; i < width; i++) sums[i] += x[at + i] * weight;
    }
    for (let i = 0; i < width; i++) y[yAt + r * width + i] = sums[i];
  }
}
