// Rows of x into the rows of the target that they name, as if one after the other. Of the rows of x that name the same one, the last sets it,
// or the first adds all of them up in order; elements that no row names are not touched.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { DType } from "../../../core/dtype.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
/** Up to so many rows, each lane looks for those like its own; of more, a dispatch before finds them once. */
const FEW = 32;

/** For row j that is not the last of its kind: the next one. `count` at the last; and at the first of its kind 1 in the second half, else 0. */
const links: Shader = {
  name: "scatter-rows-links",
  reads: { rows: "i32" },
  writes: { links: "u32" },
  params: { count: "u32" },
  lanes: LANES,
  code: `
var<workgroup> next: atomic<u32>;
var<workgroup> earlier: atomic<u32>;
fn run(j: u32, lane: u32) {
  if (lane == 0u) { atomicStore(&next, params.count); }
  workgroupBarrier();
  let row = rows_at(j);
  for (var i = lane; i < params.count; i += LANES) {
    if (i != j && rows_at(i) == row) {
      if (i > j) { atomicMin(&next, i); } else { atomicStore(&earlier, 1u); }
    }
  }
  workgroupBarrier();
  if (lane == 0u) {
    links_set(j, atomicLoad(&next));
    links_set(params.count + j, 1u - atomicLoad(&earlier));
  }
}`,
};

const searched = `
fn next_of(j: u32) -> u32 {
  var i = j + 1u;
  while (i < params.count && rows_at(i) != rows_at(j)) { i++; }
  return i;
}
fn is_first(j: u32) -> bool {
  var i = 0u;
  while (rows_at(i) != rows_at(j)) { i++; }
  return i == j;
}`;
const linked = `
fn next_of(j: u32) -> u32 { return links_at(j); }
fn is_first(j: u32) -> bool { return links_at(params.count + j) == 1u; }`;

interface Form {
  readonly mode: "set" | "add";
  readonly dtype: DType;
  readonly few: boolean;
  readonly fours: boolean;
}

const shaders = variants((key: string): Shader => {
  const { mode, dtype, few, fours } = JSON.parse(key) as Form;
  const [get, set] = fours ? ["_vec", "_set_vec"] : ["_at", "_set"];
  return {
    name: `scatter-rows-${mode}`,
    reads: { x: dtype, rows: "i32", ...(few ? {} : { links: "u32" as const }) },
    writes: { into: dtype },
    params: { items: "u32", width: "u32", count: "u32", targets: "u32" },
    lanes: LANES,
    code: `
${few ? searched : linked}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let place = item * ${fours ? 4 : 1}u;
  let column = place % params.width;
  var j = place / params.width;
  let row = u32(rows_at(j));
  if (row >= params.targets) { return; }
  let to = row * params.width + column;
${
  mode === "set"
    ? `  if (next_of(j) == params.count) { into${set}(to, x${get}(place)); }`
    : `  if (!is_first(j)) { return; }
  var sum = into${get}(to);
  while (j < params.count) {
    sum += x${get}(j * params.width + column);
    j = next_of(j);
  }
  into${set}(to, sum);`
}
}`,
  };
});

export const scatterRows =
  (engine: Engine): Kernels["scatterRows"] =>
  ([x, rows], [into], { mode }) => {
    const width = sizeOf(into.shape.slice(1));
    const count = sizeOf(rows.shape);
    if (count * width === 0) return;
    const few = count <= FEW;
    const fours = width % 4 === 0;
    const found = few ? [] : [engine.scratch("u32", 2, count)];
    if (!few) engine.dispatch(links, [rows, ...found], [count], count);
    const form: Form = { mode, dtype: mode === "set" ? "u32" : into.dtype, few, fours };
    const items = (count * width) / (fours ? 4 : 1);
    engine.dispatch(
      shaders(JSON.stringify(form)),
      [x, rows, ...found, into],
      [items, width, count, into.shape[0]],
      Math.ceil(items / LANES),
    );
  };
