// The k largest of each row, in descending order, and where they were; ties go to the lower index, NaN comes last.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { rankLargest } from "../ranking.js";
import { elements, ints, words } from "../read.js";

export const topK: Kernel<"topK", void> = ([x], [values, indices], { k }) => {
  const { rows, width } = rowsOf(x.shape);
  const from = elements(x);
  const bits = words(x);
  const best = words(values);
  const where = ints(indices);
  for (let r = 0; r < rows; r++) {
    rankLargest(from, r * width, width, k, where, r * k);
    for (let j = r * k; j < (r + 1) * k; j++) best[j] = bits[r * width + where[j]];
  }
};
