// into[rows[i]] = x[i], or += x[i], for i in order; a row of -1 or out of range is skipped, rows not named keep their bits.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SCATTER } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { typeCodes } from "../strided.js";

/** Tiles are whole multiples of this many columns: pieces of rows that are worth the way to them. */
const COLUMNS = 128;

export const scatterRows =
  (engine: Engine): Kernels["scatterRows"] =>
  ([x, rows], [into], { mode }) => {
    const count = sizeOf(rows.shape);
    const width = sizeOf(into.shape.slice(1));
    if (count * width === 0) return;
    const columns = perTile(Math.ceil(width / COLUMNS), 4 * COLUMNS * count) * COLUMNS;
    engine.launch(SCATTER, Math.ceil(width / columns), [
      engine.at(into),
      into.shape[0],
      engine.at(rows),
      count,
      engine.at(x),
      width,
      columns,
      mode === "add" ? 1 : 0,
      typeCodes[into.dtype],
    ]);
  };
