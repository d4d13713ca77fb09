// Token ids of a batch as one array, checked against the vocabulary.
import { IndexError, ShapeError } from "../core/errors.js";

/**
 * The rows one after the other, i32 [B * T].
 * @throws IndexError if an id is outside the vocabulary, ShapeError if rows differ in length
 */
export function flatIds(rows: readonly ArrayLike<number>[], vocabSize: number): Int32Array {
  const count = rows[0]?.length ?? 0;
  const flat = new Int32Array(rows.length * count);
  rows.forEach((row, b) => {
    if (row.length !== count) {
      throw new ShapeError(
        `Qwen3: all rows of token ids must have one length, got ${count} and ${row.length}; pad them and give positions`,
      );
    }
    for (let t = 0; t < count; t++) {
      const id = row[t];
      if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
        throw new IndexError(
          `Qwen3: token ids must be integers of 0 to ${vocabSize - 1}, got ${id} in row ${b} at ${t}`,
        );
      }
      flat[b * count + t] = id;
    }
  });
  return flat;
}
