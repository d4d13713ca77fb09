// With s = 1 / sqrt(mean(x^2) + eps): dx = s * (w dy - x * s^2 * mean(w dy x)), dWeight = sum over rows of dy * x * s.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";
import { inverseRms } from "./rms-norm.js";

export const rmsNormGrad: Kernel<"rmsNormGrad", void> = ([x, weight, dy], [dx, dWeight], { eps }) => {
  const { rows, width } = rowsOf(x.shape);
  const from = floats(x);
  const factors = floats(weight);
  const dOut = floats(dy);
  const dIn = dx === undefined ? undefined : floats(dx);
  const sums = dWeight === undefined ? undefined : new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const at = r * width;
    const s = inverseRms(from, at, width, eps);
    if (dIn !== undefined) {
      let mean = 0;
      for (let i = 0; i < width; i++) mean += factors[i] * dOut[at + i] * from[at + i];
      const pull = (mean / width) * s * s;
      for (let i = 0; i < width; i++) dIn[at + i] = s * (factors[i] * dOut[at + i] - from[at + i] * pull);
    }
    if (sums !== undefined) {
      for (let i = 0; i < width; i++) sums[i] += dOut[at + i] * from[at + i] * s;
    }
  }
  if (dWeight !== undefined && sums !== undefined) floats(dWeight).set(sums);
};
