// loss[r] = log(sum of exp(x[r])) - x[r, target]; 0 for a target that is no index.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { exponentials } from "../row-exponentials.js";
import { dispatchRows, rowShaders } from "../rows.js";

const shaders = rowShaders((form) => ({
  name: "cross-entropy",
  reads: { x: "f32", targets: "i32" },
  writes: { loss: "f32" },
  code: `
${exponentials(form)}
fn row_of(row: u32, begin: u32, end: u32, lane: u32) {
  let first = row * params.width;
  let found = exponentials(first, begin, end, lane);
  if (begin > 0u) { return; }
  let wanted = u32(targets_at(row));
  if (wanted < params.width) { loss_set(row, found.x + log(found.y) - x_at(first + wanted)); } else { loss_set(row, 0.0); }
}`,
}));

export const crossEntropy =
  (engine: Engine): Kernels["crossEntropy"] =>
  ([logits, targets], [loss]) =>
    dispatchRows(engine, shaders, rowsOf(logits.shape), [logits, targets, loss]);
