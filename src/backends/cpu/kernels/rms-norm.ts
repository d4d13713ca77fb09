// y = x / sqrt(mean(x^2) + eps) * weight, over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const rmsNorm: Kernel<"rmsNorm", void> = ([x, weight], [y], { eps }) => {
  const { rows, width } = rowsOf(x.shape);
  rmsNormRows(floats(x), floats(weight), floats(y), rows, width, eps);
};

export function rmsNormRows(
  x: Float32Array,
  weight: Float32Array,
  y: Float32Array,
  rows: number,
  width: number,
  eps: number,
): void {
  for (let r = 0; r < rows; r++) {
    const at = r * width;
    const scale = inverseRms(x, at, width, eps);
    for (let i = 0; i < width; i++) y[at + i] = x[at + i] * scale * weight[i];
  }
}

/** 1 / sqrt(mean(x^2) + eps) of x[at..at + width). */
export function inverseRms(x: Float32Array, at: number, width: number, eps: number): number {
  let sum = 0;
  for (let i = 0; i < width; i++) sum += x[at + i] * x[at + i];
  return 1 / Math.sqrt(sum / width + eps);
}
