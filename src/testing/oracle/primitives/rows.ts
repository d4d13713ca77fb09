// Rows by index. An index that is itself in doubt may name any row.
import type { Kernel } from "../../../backends/backend.js";
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type View } from "../../../core/view.js";
import { blank, blur, clear, contents, load, move, store, upTo } from "../cells.js";
import type { Profile } from "../profile.js";
import { gamma, settled, underflow } from "../rounding.js";
import { decoded } from "./packed.js";

/** y[i] = table[rows[i]]; a row of -1 or out of range gives zeros. */
export const gatherRows =
  (profile: Profile): Kernel<"gatherRows", void> =>
  ([table, rows], [y]) => {
    const wanted = contents(rows);
    const width = sizeOf(table.shape.slice(1));
    const numbers = isPackedView(table) ? decoded(table, profile) : undefined;
    const out = numbers && blank(sizeOf(y.shape));
    for (let i = 0; i < wanted.value.length; i++) {
      const row = wanted.value[i];
      const known = row >= 0 && row < table.shape[0];
      if (!known) clear(y, i * width, width);
      else if (isPackedView(table)) {
        for (const part of ["value", "bound"] as const) {
          out?.[part].set((numbers as typeof wanted)[part].subarray(row * width, (row + 1) * width), i * width);
        }
      } else {
        move(table, range(row * width, width), y, range(i * width, width));
      }
    }
    if (out) store(y, out);
    for (let i = 0; i < wanted.value.length; i++) if (wanted.bound[i] > 0) blur(y, i * width, width);
  };

const range = (from: number, count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => from + i);

/** into[rows[i]] = x[i], or += x[i] in any order; a row of -1 or out of range is skipped. */
export const scatterRows =
  (profile: Profile): Kernel<"scatterRows", void> =>
  ([x, rows], [into], { mode }) => {
    const wanted = contents(rows);
    const count = into.shape[0];
    const width = sizeOf(into.shape.slice(1));
    if (mode === "set") {
      for (let i = 0; i < wanted.value.length; i++) {
        const row = wanted.value[i];
        if (row >= 0 && row < count) move(x, range(i * width, width), into, range(row * width, width));
      }
    } else {
      addRows(profile, x, wanted.value, into, count, width);
    }
    if (wanted.bound.some((bound) => bound > 0)) blur(into, 0, count * width);
  };

function addRows(profile: Profile, x: View, rows: Float64Array, into: View, count: number, width: number): void {
  const given = load(x, profile);
  const before = load(into, profile);
  const float = into.dtype === "f32";
  for (let row = 0; row < count; row++) {
    const named = upTo(rows.length).filter((i) => rows[i] === row);
    if (named.length === 0) continue;
    const sums = blank(width);
    for (let j = 0; j < width; j++) {
      const at = row * width + j;
      let [value, spread, size, terms] = [before.value[at], before.bound[at], Math.abs(before.value[at]), 0];
      for (const i of named) {
        const term = given.value[i * width + j];
        value = float ? value + term : (value + term) | 0;
        spread += given.bound[i * width + j];
        size += Math.abs(term);
        if (term !== 0 || given.bound[i * width + j] > 0) terms++;
      }
      sums.value[j] = value;
      const rounding = terms === 0 ? 0 : gamma(profile, terms) * (size + spread) + underflow(profile, value, spread);
      sums.bound[j] = float ? settled(value, spread + rounding) : spread;
    }
    store({ ...into, shape: [width], offset: into.offset + row * width }, sums);
  }
}
