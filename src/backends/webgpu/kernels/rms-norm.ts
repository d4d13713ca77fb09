// y = x / sqrt(mean(x^2) + eps) * weight over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { dispatchRows, rowShaders } from "../rows.js";

const shaders = rowShaders(({ get, set, sum }) => ({
  name: "rms-norm",
  reads: { x: "f32", weight: "f32" },
  writes: { y: "f32" },
  params: { eps: "f32" },
  code: `
${sum}
fn row_of(row: u32, begin: u32, end: u32, lane: u32) {
  let first = row * params.width;
  var squares = Numbers();
  for (var i = begin; i < end; i += STRIDE) { let x = x${get}(first + i); squares += x * x; }
  let scale = inverseSqrt(all_sum(lane, across_sum(squares)) / f32(params.width) + params.eps);
  for (var i = begin; i < end; i += STRIDE) { y${set}(first + i, x${get}(first + i) * scale * weight${get}(i)); }
}`,
}));

export const rmsNorm =
  (engine: Engine): Kernels["rmsNorm"] =>
  ([x, weight], [y], { eps }) =>
    dispatchRows(engine, shaders, rowsOf(x.shape), [x, weight, y], [eps]);
