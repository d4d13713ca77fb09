// y[i] = table[rows[i]] along the first axis; a row of -1 or out of range gives zeros. A packed table is decoded.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { GATHER } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { decodeRows } from "../packed-rows.js";

/** Columns of long rows that a tile takes. */
const COLUMNS = 16384;

export const gatherRows =
  (engine: Engine): Kernels["gatherRows"] =>
  ([table, rows], [y]) => {
    const count = sizeOf(rows.shape);
    const tableRows = table.shape[0];
    if (isPackedView(table)) {
      const pieces = sizeOf(table.shape.slice(1, -1));
      decodeRows(engine, table, { tableRows, pieces, count, indices: engine.at(rows) }, engine.at(y));
      return;
    }
    const width = sizeOf(table.shape.slice(1));
    if (count * width === 0) return;
    const columns = Math.min(width, COLUMNS);
    const across = Math.ceil(width / columns);
    const down = perTile(count, 4 * columns + 8);
    const words = [engine.at(table), tableRows, engine.at(rows), count, engine.at(y), width, down, columns, across];
    engine.launch(GATHER, Math.ceil(count / down) * across, words);
  };
