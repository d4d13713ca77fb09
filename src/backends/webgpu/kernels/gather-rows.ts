// Rows of a table, zeros where an index is out of range; packed rows are decoded.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { decoder, packedReads } from "../packed.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shader: Shader = {
  name: "gather-rows",
  reads: { table: "u32", rows: "i32" },
  writes: { y: "u32" },
  params: { elements: "u32", width: "u32", count: "u32" },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place >= params.elements) { return; }
  let row = rows_at(place / params.width);
  var value = 0u;
  if (row >= 0 && u32(row) < params.count) { value = table_at(u32(row) * params.width + place % params.width); }
  y_set(place, value);
}`,
};

const packed = variants((scheme: string): Shader => ({
  name: `gather-rows-${scheme}`,
  reads: { ...packedReads(scheme, "table"), rows: "i32" },
  writes: { y: "f32" },
  params: { elements: "u32", width: "u32", row_width: "u32", count: "u32" },
  lanes: LANES,
  code: `
${decoder(scheme, "table")}
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place >= params.elements) { return; }
  let row = rows_at(place / params.width);
  var value = 0.0;
  if (row >= 0 && u32(row) < params.count) {
    let inside = place % params.width;
    value = table_number(u32(row) * (params.width / params.row_width) + inside / params.row_width, inside % params.row_width, params.row_width);
  }
  y_set(place, value);
}`,
}));

export const gatherRows =
  (engine: Engine): Kernels["gatherRows"] =>
  ([table, rows], [y]) => {
    const elements = sizeOf(y.shape);
    const width = sizeOf(table.shape.slice(1));
    const [count] = table.shape;
    const groups = Math.ceil(elements / LANES);
    if (!isPackedView(table)) engine.dispatch(shader, [table, rows, y], [elements, width, count], groups);
    else {
      const rowWidth = table.shape[table.shape.length - 1];
      engine.dispatch(packed(table.scheme), [...table.parts, rows, y], [elements, width, rowWidth, count], groups);
    }
  };
