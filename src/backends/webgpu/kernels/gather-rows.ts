// Rows of a table, zeros where an index is out of range; packed rows are decoded.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type PackedView, type View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { numbersReader, packedReads } from "../packed.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { variants, type Shader } from "../shader.js";
import { decodeRows } from "./dequantize.js";

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
  const numbers = numbersReader(scheme, "table", items, "params.height");
  return {
    name: `gather-rows-${scheme}`,
    reads: { ...packedReads(scheme, "table"), rows: "i32" },
    writes: { y: "f32" },
    params: { elements: "u32", width: "u32", row_width: "u32", height: "u32", count: "u32" },
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

function gatherPlain(engine: Engine, table: View, rows: View, y: View): void {
  const [count, ...row] = table.shape;
  const width = sizeOf(row);
  const elements = sizeOf(rows.shape) * width;
  const items = width % 4 === 0 ? 4 : 1;
  engine.dispatch(plain(items), [table, rows, y], [elements, width, count], Math.ceil(elements / (items * LANES)));
}

function gatherPacked(engine: Engine, table: PackedView, rows: View, y: View): void {
  const { scheme, parts, shape } = table;
  const [count, ...row] = shape;
  const width = sizeOf(row);
  const [height, rowWidth] = shape.slice(-2);
  const views = [...parts, rows, y];
  if (engine.bindings(...views) > MAX_WINDOWS) {
    // Rows of each part, then their numbers: empty ones decode to zeros.
    const found = sizeOf(rows.shape);
    const rowParts = parts.map((part): View => {
      const words = sizeOf(part.shape) / count;
      const gathered = engine.scratch("u32", found, words);
      gatherPlain(engine, { ...part, shape: [count, words] }, rows, gathered);
      return { ...gathered, shape: [(found * words) / part.shape[1], part.shape[1]] };
    });
    return decodeRows(engine, { ...table, shape: [found * (width / rowWidth), rowWidth], parts: rowParts }, y);
  }
  const items = rowWidth % 4 === 0 ? 4 : 1;
  const elements = sizeOf(y.shape);
  const shader = packed(JSON.stringify([scheme, items]));
  engine.dispatch(shader, views, [elements, width, rowWidth, height, count], Math.ceil(elements / (items * LANES)));
}

export const gatherRows =
  (engine: Engine): Kernels["gatherRows"] =>
  ([table, rows], [y]) =>
    isPackedView(table) ? gatherPacked(engine, table, rows, y) : gatherPlain(engine, table, rows, y);
