// into[rows[i]] = x[i], or += x[i], for i in order; a row of -1 or out of range is skipped, rows not named keep their bits.
import { sizeOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { elements, ints, words } from "../read.js";

export const scatterRows: Kernel<"scatterRows", void> = ([x, rows], [into], { mode }) => {
  const count = into.shape[0];
  const width = sizeOf(into.shape.slice(1));
  const targets = ints(rows);
  // Setting moves bits, which keeps every NaN as it is; adding needs numbers (integers wrap when stored).
  const from = mode === "set" ? words(x) : elements(x);
  const to = mode === "set" ? words(into) : elements(into);
  for (let i = 0; i < targets.length; i++) {
    const row = targets[i];
    if (row < 0 || row >= count) continue;
    if (mode === "set") for (let j = 0; j < width; j++) to[row * width + j] = from[i * width + j];
    else for (let j = 0; j < width; j++) to[row * width + j] += from[i * width + j];
  }
};
