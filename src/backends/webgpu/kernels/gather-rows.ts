// Rows of a table, zeros where an index is out of range; packed rows are decoded.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { numbersReader, packedReads } from "../packed.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;

/** A lane moves or decodes so many neighbours. */
type Items = 1 | 4;

const plain = variants((items: Items): Shader => ({
  name: "gather-rows",
  reads: { table: "u32", rows: "i32" },
  writes: { y: "u32" },
  params: { elements: "u32", width: "u32", count: "u32" },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let place = (group * LANES + lane) * ${items}u;
  if (place >= params.elements) { return; }
  let row = u32(rows_at(place / params.width));
  var value = ${items === 4 ? "vec4u()" : "0u"};
  if (row < params.count) { value = table_${items === 4 ? "vec" : "at"}(row * params.width + place % params.width); }
  y_${items === 4 ? "set_vec" : "set"}(place, value);
}`,
}));

const packed = variants((key: string): Shader => {
  const [scheme, items] = JSON.parse(key) as readonly [string, Items];
  const numbers = numbersReader(scheme, "table", items);
  return {
    name: `gather-rows-${scheme}`,
    reads: { ...packedReads(scheme, "table"), rows: "i32" },
    writes: { y: "f32" },
    params: { elements: "u32", width: "u32", row_width: "u32", count: "u32" },
    lanes: LANES,
    code: `
${numbers.functions}
fn run(group: u32, lane: u32) {
  let place = (group * LANES + lane) * ${items}u;
  if (place >= params.elements) { return; }
  let row = u32(rows_at(place / params.width));
  var value = ${items === 4 ? "vec4f()" : "0.0"};
  if (row < params.count) {
    let inside = place % params.width;
    let part = row * (params.width / params.row_width) + inside / params.row_width;
    let column = inside % params.row_width;
    value = ${numbers.at("part", "column", "params.row_width")};
  }
  y_${items === 4 ? "set_vec" : "set"}(place, value);
}`,
  };
});

export const gatherRows =
  (engine: Engine): Kernels["gatherRows"] =>
  ([table, rows], [y]) => {
    const elements = sizeOf(y.shape);
    const [count] = table.shape;
    const width = sizeOf(table.shape.slice(1));
    const rowWidth = isPackedView(table) ? table.shape[table.shape.length - 1] : width;
    const items = rowWidth % 4 === 0 ? 4 : 1;
    const groups = Math.ceil(elements / (items * LANES));
    if (!isPackedView(table)) engine.dispatch(plain(items), [table, rows, y], [elements, width, count], groups);
    else {
      const shader = packed(JSON.stringify([table.scheme, items]));
      engine.dispatch(shader, [...table.parts, rows, y], [elements, width, rowWidth, count], groups);
    }
  };
