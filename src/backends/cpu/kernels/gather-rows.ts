// y[i] = table[rows[i]] along the first axis; a row of -1 or out of range gives zeros. A packed table is decoded.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { MatrixRows, floats, ints, words } from "../read.js";

export const gatherRows: Kernel<"gatherRows", void> = ([table, rows], [y]) => {
  const count = table.shape[0];
  const wanted = ints(rows);
  const width = sizeOf(table.shape.slice(1));
  if (isPackedView(table)) {
    const source = new MatrixRows(table);
    const out = floats(y);
    out.fill(0);
    const pieces = source.width === 0 ? 0 : width / source.width;
    for (let i = 0; i < wanted.length; i++) {
      const row = wanted[i];
      if (row < 0 || row >= count) continue;
      for (let piece = 0; piece < pieces; piece++) {
        const at = source.load(row * pieces + piece, 1);
        for (let j = 0; j < source.width; j++) out[i * width + piece * source.width + j] = source.array[at + j];
      }
    }
    return;
  }
  const from = words(table);
  const to = words(y);
  for (let i = 0; i < wanted.length; i++) {
    const row = wanted[i];
    const at = i * width;
    if (row < 0 || row >= count) to.fill(0, at, at + width);
    else for (let j = 0; j < width; j++) to[at + j] = from[row * width + j];
  }
};
