// sum = x + residual, y = rmsNorm(sum): the residual stream and its norm in one pass.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { inPieces, part } from "../pieces.js";
import { dispatchRows, rowShaders } from "../rows.js";

const shaders = rowShaders(({ get, set, sum }) => ({
  name: "add-rms-norm",
  reads: { x: "f32", residual: "f32", weight: "f32" },
  writes: { total: "f32", y: "f32" },
  params: { eps: "f32" },
  code: `
${sum}
fn row_of(row: u32, begin: u32, end: u32, lane: u32) {
  let first = row * params.width;
  var squares = Numbers();
  for (var i = begin; i < end; i += STRIDE) {
    let value = x${get}(first + i) + residual${get}(first + i);
    total${set}(first + i, value);
    squares += value * value;
  }
  let scale = inverseSqrt(all_sum(lane, across_sum(squares)) / f32(params.width) + params.eps);
  for (var i = begin; i < end; i += STRIDE) { y${set}(first + i, total${get}(first + i) * scale * weight${get}(i)); }
}`,
}));

export const addRmsNorm =
  (engine: Engine): Kernels["addRmsNorm"] =>
  ([x, residual, weight], [sum, y], { eps }) => {
    const { rows, width } = rowsOf(x.shape);
    const viewsOf = (first: number, count: number) => {
      const [a, b, total, out] = [x, residual, sum, y].map((view) => part(view, first * width, count * width));
      return [a, b, weight, total, out];
    };
    inPieces(engine, rows, viewsOf, (views, count) =>
      dispatchRows(engine, shaders, { rows: count, width }, views, [eps]),
    );
  };
