// sum = x + residual, y = rmsNorm(sum): the residual stream and its norm in one pass.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";
import { rmsNormRows } from "./rms-norm.js";

export const addRmsNorm: Kernel<"addRmsNorm", void> = ([x, residual, weight], [sum, y], { eps }) => {
  const { rows, width } = rowsOf(x.shape);
  const [left, right, total] = [floats(x), floats(residual), floats(sum)];
  for (let i = 0; i < total.length; i++) total[i] = left[i] + right[i];
  rmsNormRows(total, floats(weight), floats(y), rows, width, eps);
};
