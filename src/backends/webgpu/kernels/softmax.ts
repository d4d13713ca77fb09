// y = exp(x - max) / sum of exp(x - max) over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { exponentials } from "../row-exponentials.js";
import { dispatchRows, rowShaders } from "../rows.js";

const shaders = rowShaders((form) => ({
  name: "softmax",
  reads: { x: "f32" },
  writes: { y: "f32" },
  code: `
${exponentials(form)}
fn row_of(row: u32, begin: u32, end: u32, lane: u32) {
  let first = row * params.width;
  let found = exponentials(first, begin, end, lane);
  for (var i = begin; i < end; i += STRIDE) { y${form.set}(first + i, exp(x${form.get}(first + i) - found.x) / found.y); }
}`,
}));

export const softmax =
  (engine: Engine): Kernels["softmax"] =>
  ([x], [y]) =>
    dispatchRows(engine, shaders, rowsOf(x.shape), [x, y]);
