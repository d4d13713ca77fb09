// The k largest of each row, in descending order, and where they were; ties go to the lower index, NaN comes last.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SORT, TOP_K } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { LEADING_VALUES } from "../layout.js";

/** Up to this k, inserting into a sorted list beats sorting: almost all numbers fail the first comparison. */
const MAX_INSERTIONS = 64;

export const topK =
  (engine: Engine): Kernels["topK"] =>
  ([x], [values, indices], { k }) => {
    const { rows, width } = rowsOf(x.shape);
    if (rows * k === 0) return;
    const words = [engine.at(x), engine.at(values), engine.at(indices), rows];
    if (k <= MAX_INSERTIONS) {
      const count = perTile(rows, width + 8 * k);
      engine.launch(TOP_K, Math.ceil(rows / count), [...words, count, width, k]);
      return;
    }
    // With fewer rows than threads each row has scratch of its own, else each thread.
    const bytes = 16 * width + 4 * LEADING_VALUES;
    const few = rows < engine.threads;
    const [scratch] = engine.scratch(bytes * Math.min(rows, engine.threads));
    engine.launch(SORT, rows, [...words, width, k, scratch, few ? 0 : bytes, few ? bytes : 0]);
  };
