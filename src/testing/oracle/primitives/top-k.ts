// The k largest of each row. Values are order statistics, so their bounds hold whatever the order; an index is in doubt where another
// element's interval meets the one of the element it names.
import type { Kernel } from "../../../backends/backend.js";
import { rowsOf, sizeOf } from "../../../core/shape.js";
import { blank, load, store } from "../cells.js";
import type { Profile } from "../profile.js";

export const topK =
  (profile: Profile): Kernel<"topK", void> =>
  ([x], [values, indices], { k }) => {
    const { rows, width } = rowsOf(x.shape);
    const given = load(x, profile);
    const best = blank(sizeOf(values.shape));
    const where = blank(sizeOf(values.shape));
    for (let row = 0; row < rows; row++) {
      const value = given.value.subarray(row * width, (row + 1) * width);
      const bound = given.bound.subarray(row * width, (row + 1) * width);
      const order = Array.from(value, (_, i) => i).sort((a, b) => precedence(value[a], value[b]) || a - b);
      const low = value.map((number, i) => number - bound[i]).sort((a, b) => precedence(a, b));
      const high = value.map((number, i) => number + bound[i]).sort((a, b) => precedence(a, b));
      const exact = bound.every((one) => one === 0);
      for (let j = 0; j < k; j++) {
        const at = row * k + j;
        const i = order[j];
        best.value[at] = value[i];
        where.value[at] = i;
        if (exact) continue;
        const spread = Math.max(high[j] - value[i], value[i] - low[j]);
        best.bound[at] = Number.isNaN(spread) ? Infinity : spread;
        where.bound[at] = inDoubt(value, bound, i) ? Infinity : 0;
      }
    }
    store(values, best);
    store(indices, where);
  };

/** Descending, NaN last. */
function precedence(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a > b ? -1 : Number(a < b);
}

function inDoubt(value: Float64Array, bound: Float64Array, i: number): boolean {
  return value.some((other, j) => {
    const reach = bound[i] + bound[j];
    return j !== i && reach > 0 && !(Math.abs(other - value[i]) > reach);
  });
}
