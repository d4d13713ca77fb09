// Rows of x into the rows of the target that they name, as if one after the other: each element of the target looks for its own.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { DType } from "../../../core/dtype.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shaders = variants((way: string): Shader => {
  const [mode, type] = way.split(" ") as ["set" | "add", DType];
  return {
    name: `scatter-rows-${mode}`,
    reads: { x: type, rows: "i32" },
    writes: { into: type },
    params: { elements: "u32", width: "u32", count: "u32" },
    lanes: LANES,
    code: `
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place >= params.elements) { return; }
  let row = i32(place / params.width);
  let column = place % params.width;
  var value = into_at(place);
  var named = false;
  for (var j = 0u; j < params.count; j++) {
    if (rows_at(j) == row) { value ${mode === "add" ? "+=" : "="} x_at(j * params.width + column); named = true; }
  }
  if (named) { into_set(place, value); }
}`,
  };
});

export const scatterRows =
  (engine: Engine): Kernels["scatterRows"] =>
  ([x, rows], [into], { mode }) => {
    const elements = sizeOf(into.shape);
    const width = sizeOf(into.shape.slice(1));
    const shader = shaders(`${mode} ${mode === "set" ? "u32" : into.dtype}`);
    engine.dispatch(shader, [x, rows, into], [elements, width, sizeOf(rows.shape)], Math.ceil(elements / LANES));
  };
