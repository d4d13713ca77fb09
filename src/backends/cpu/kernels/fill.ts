// y[i] = value + step * (index on the last axis).
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { elements } from "../read.js";

export const fill: Kernel<"fill", void> = (_, [y], { value, step }) => {
  const { rows, width } = rowsOf(y.shape);
  const out = elements(y);
  if (step === 0) {
    out.fill(value);
    return;
  }
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < width; i++) out[r * width + i] = value + step * i;
  }
};
