// Sums over rows, the same bits on any number of threads: parts of so many rows are summed alone, then the parts in order.
import { COLUMN_SUMS } from "./codes.js";
import type { Engine } from "./engine.js";

const ROWS_PER_PART = 64;

/** `to`[width] = the sum of the `rows` rows of `from`[rows, width]. Takes scratch memory where there is more than one part. */
export function columnSums(engine: Engine, from: number, to: number, rows: number, width: number): void {
  const parts = Math.ceil(rows / ROWS_PER_PART);
  if (parts <= 1) {
    engine.launch(COLUMN_SUMS, 1, [from, to, rows, width, Math.max(1, rows)]);
    return;
  }
  const [scratch] = engine.scratch(parts * width * 4);
  engine.launch(COLUMN_SUMS, parts, [from, scratch, rows, width, ROWS_PER_PART]);
  engine.launch(COLUMN_SUMS, 1, [scratch, to, parts, width, parts]);
}
