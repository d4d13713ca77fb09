// Running sums along one axis: y[i] = x[0] + ... + x[i], without x[i] itself when exclusive.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SCAN_COLUMNS, SCAN_OFFSETS, SCAN_ROWS } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { typeCodes } from "../strided.js";

/** Long lines are scanned in parts of this many numbers, to which the totals before them are added. */
const PART = 16384;
const COLUMNS = 512;

export const scan =
  (engine: Engine): Kernels["scan"] =>
  ([x], [y], { axis, exclusive }) => {
    const n = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const outer = sizeOf(x.shape.slice(0, axis));
    if (outer * n * inner === 0) return;
    const type = typeCodes[x.dtype];
    const before = exclusive ? 1 : 0;
    const [from, to] = [engine.at(x), engine.at(y)];
    if (inner === 1) {
      const length = Math.min(n, PART);
      const parts = Math.ceil(n / length);
      const items = outer * parts;
      const [totals] = parts === 1 ? [0] : engine.scratch(items * 4);
      const count = perTile(items, 4 * length);
      const tiles = Math.ceil(items / count);
      engine.launch(SCAN_ROWS, tiles, [from, to, items, count, n, length, parts, type, before, totals]);
      if (parts > 1) engine.launch(SCAN_OFFSETS, tiles, [to, totals, items, count, n, length, parts, type]);
      return;
    }
    const width = Math.min(inner, COLUMNS);
    const blocks = Math.ceil(inner / width);
    const items = outer * blocks;
    const count = perTile(items, 4 * n * width);
    const words = [from, to, items, count, n, inner, width, blocks, type, before];
    engine.launch(SCAN_COLUMNS, Math.ceil(items / count), words);
  };
