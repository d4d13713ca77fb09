// dLogits[r] = dLoss[r] * (softmax(x[r]) - onehot(target)); zeros for a target that is no index.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { exponentials } from "../row-exponentials.js";
import { dispatchRows, rowShaders } from "../rows.js";

const shaders = rowShaders((form) => ({
  name: "cross-entropy-grad",
  reads: { x: "f32", targets: "i32", d_loss: "f32" },
  writes: { y: "f32" },
  code: `
${exponentials(form)}
// 1 at the target.
fn named(i: u32, wanted: u32) -> Numbers {
  return ${form.get === "_vec" ? "vec4f(vec4u(wanted) == vec4u(i, i + 1u, i + 2u, i + 3u))" : "f32(wanted == i)"};
}
fn row_of(row: u32, begin: u32, end: u32, lane: u32) {
  let first = row * params.width;
  let found = exponentials(first, begin, end, lane);
  let wanted = u32(targets_at(row));
  let factor = d_loss_at(row);
  for (var i = begin; i < end; i += STRIDE) {
    var slope = Numbers();
    if (wanted < params.width) { slope = (exp(x${form.get}(first + i) - found.x) / found.y - named(i, wanted)) * factor; }
    y${form.set}(first + i, slope);
  }
}`,
}));

export const crossEntropyGrad =
  (engine: Engine): Kernels["crossEntropyGrad"] =>
  ([logits, targets, dLoss], [dLogits]) =>
    dispatchRows(engine, shaders, rowsOf(logits.shape), [logits, targets, dLoss, dLogits]);
