// Products of many slots with the weights of their experts, by tiles of rows that name one expert, so that a weight is read once per tile.
// The grid has room for any choice of experts, and workgroups without rows end at once.
import type { View } from "../../core/view.js";
import { bytesReader } from "./byte-codes.js";
import type { Engine } from "./engine.js";
import { groupParams, groupReaders, type ExpertGroups } from "./expert-groups.js";
import { productForm, productReads, type ExpertMatrix, type LeftRows, type ProductForm } from "./expert-operands.js";
import { TILE_COLUMNS, TILE_LANES, TILE_STEP, tileText } from "./expert-tiles.js";
import { codeDots, quadDecoder, quadReader, groupReader } from "./packed.js";
import { variants, type Shader } from "./shader.js";
import { silu } from "./wgsl.js";

type Result = "rows" | "swiglu" | "turned";

/** Columns of y per tile, and where column `at` of the tile lies among the rows of the weight. */
const results: Readonly<Record<Result, { readonly columns: number; readonly place: string }>> = {
  rows: { columns: TILE_COLUMNS, place: "at" },
  // Rows of gate, then of up: both halves of the tile make the same columns of y.
  swiglu: { columns: TILE_COLUMNS / 2, place: `at % ${TILE_COLUMNS / 2}u` },
  turned: { columns: TILE_COLUMNS, place: "at" },
};

interface TileForm extends ProductForm {
  readonly result: Result;
  readonly tileRows: number;
  /** Whether rows of x are a multiple of 4 long. */
  readonly even: boolean;
}

/** `a_inside` and `b_inside` for the loaders, and what they read with. */
function sides({ result, format, coded, step, packedDot, even }: TileForm): string {
  const weightRow = result === "swiglu" ? `column + at / ${TILE_COLUMNS / 2}u * params.columns` : "column";
  const straight = (type: string, expression: string): string => `
  let column = params.skip + first_column + ${results[result].place};
  if (column < params.skip + params.columns && k < params.depth) {
    let row = tile.x * params.weight_rows + ${weightRow};
    return ${expression};
  }
  return ${type}();`;
  if (coded)
    return `${bytesReader(format, "w", step === 16)}${groupReader(format, "w", "params.weight_rows")}${codeDots(packedDot)}
fn a_block(row: u32, k: u32) -> u32 { return x_rows[row] * ((params.depth + 31u) / 32u) + k / 32u; }
fn a_inside(row: u32, k: u32) -> vec4u {
  if (has_row(row) && k < params.depth) { return x_codes_vec(a_block(row, k) * 8u + k % 32u / 4u); }
  return vec4u();
}
fn a_scale_inside(row: u32, k: u32) -> f32 {
  if (has_row(row) && k < params.depth) { return x_scales_at(a_block(row, k)); }
  return 0.0;
}
fn b_inside(at: u32, k: u32) -> vec4u {${straight("vec4u", "w_bytes(row, k, params.width)")}
}
fn b_scale_inside(at: u32, k: u32) -> f32 {${straight("f32", "w_group(row, k, params.width)")}
}`;
  const numbers = `${quadDecoder(format)}${quadReader("f32", "x", even)}${quadReader(format, "w", step > 1, "params.weight_rows")}
fn a_inside(row: u32, k: u32) -> vec4f {
  if (has_row(row) && k < params.depth) { return x_quad(x_rows[row], k, params.depth); }
  return vec4f();
}`;
  if (result !== "turned")
    return `${numbers}
fn b_inside(at: u32, k: u32) -> vec4f {${straight("vec4f", "w_quad(row, k, params.width)")}
}`;
  return `${numbers}
fn b_inside(k: u32, at: u32) -> vec4f {
  let column = params.skip + first_column + at;
  if (k < params.depth && column < params.width) { return w_quad(tile.x * params.weight_rows + k, column, params.width); }
  return vec4f();
}`;
}

const put = `
fn put(row: u32, column: u32, values: vec4f) {
  if (!has_row(row)) { return; }
  let first = tile_slots[row] * params.columns + first_column;
  for (var c = 0u; c < 4u; c++) {
    let at = column + c * ${TILE_STEP}u;
    if (first_column + at < params.columns) { y_set(first + at, values[c]); }
  }
}`;

const shaders = variants((key: string): Shader => {
  const form = JSON.parse(key) as TileForm;
  const { result, coded, tileRows } = form;
  const { columns } = results[result];
  const swiglu = result === "swiglu";
  const tile = tileText(tileRows, coded ? "codes" : ["straight", result === "turned" ? "turned" : "straight"]);
  const statement = (row: string, [low, high]: readonly string[]): string =>
    swiglu
      ? `put(${row}, j, vec4f(${[0, 1, 2, 3].map((c) => `silu(${low}[${c}])`).join(", ")}) * ${high});`
      : `put(${row}, j, ${low}); put(${row}, j + 32u, ${high});`;
  const zeros = `
    for (var at = lane; at < ${tileRows * columns}u; at += LANES) {
      let column = first_column + at % ${columns}u;
      if (has_row(at / ${columns}u) && column < params.columns) {
        y_set(slot_at(tile.y + at / ${columns}u) * params.columns + column, 0.0);
      }
    }`;
  return {
    name: `expert-products-${result}-${form.format}`,
    reads: { ...productReads(form), groups: "u32" },
    writes: { y: "f32" },
    params: {
      ...groupParams,
      depth: "u32",
      width: "u32",
      weight_rows: "u32",
      skip: "u32",
      columns: "u32",
      slots_per_row: "u32",
    },
    lanes: TILE_LANES,
    code: `
${groupReaders}
var<private> tile: vec4u;
var<private> first_column: u32;
var<workgroup> tile_slots: array<u32, ${tileRows}>;
var<workgroup> x_rows: array<u32, ${tileRows}>;
fn has_row(row: u32) -> bool { return row < tile.z - tile.y; }
${swiglu ? silu : ""}${sides(form)}${tile.loaders}${put}
fn run(group: u32, lane: u32) {
  let column_tiles = (params.columns + ${columns - 1}u) / ${columns}u;
  let found = tile_at(group / column_tiles);
  if (found.y >= found.z) { return; }
  tile = found;
  first_column = group % column_tiles * ${columns}u;
  if (found.x == params.experts) {${swiglu ? "" : zeros}
    return;
  }
  if (has_row(lane)) {
    let slot = slot_at(tile.y + lane);
    tile_slots[lane] = slot;
    x_rows[lane] = slot / params.slots_per_row;
  }
  workgroupBarrier();
  let depth = params.depth;
  ${tile.sums}
${tile.rows(statement)}
}`,
  };
});

/** Numbers of scratch memory for the products of slots that are yet to be summed, 64 MiB, unless a binding shows less. */
const MAX_WAITING = 2 ** 24;

/**
 * Calls `make` for so many columns of [slots, width] at a time, from the first to the last, as scratch memory holds products of. Each time
 * the same memory serves.
 */
export function byColumns(
  engine: Engine,
  slots: number,
  width: number,
  make: (products: View, from: number) => void,
): void {
  const fitting = Math.floor(Math.min(MAX_WAITING, engine.limits.window / 4) / Math.max(1, slots));
  const unit = fitting < TILE_COLUMNS ? 4 : TILE_COLUMNS;
  const most = Math.min(width, Math.max(unit, fitting - (fitting % unit)));
  const memory = engine.scratch("f32", slots, most);
  for (let from = 0; from < width; from += most)
    make({ ...memory, shape: [slots, Math.min(most, width - from)] }, from);
}

/**
 * y [slots, columns]: those columns of the products of grouped slots from `from` on. `turned`: rows of x along the weight's rows.
 * Empty slots get zeros, with `swiglu` nothing.
 */
export interface GroupedProduct {
  readonly result: Result;
  readonly x: LeftRows;
  readonly weight: ExpertMatrix;
  readonly groups: ExpertGroups;
  /** Slots that share a row of x. */
  readonly slotsPerRow: number;
  readonly y: View;
  readonly from: number;
}

export function groupedViews({ x, weight, groups, y }: GroupedProduct): readonly View[] {
  return [...x.parts, ...weight.parts, groups.table, y];
}

export function groupedProducts(engine: Engine, product: GroupedProduct): void {
  const { result, x, weight, groups, slotsPerRow, y, from } = product;
  const [, columns] = y.shape;
  const depth = result === "turned" ? weight.rows : weight.width;
  const form: TileForm = {
    ...productForm(engine, weight, x),
    result,
    tileRows: groups.tileRows,
    even: depth % 4 === 0,
  };
  engine.dispatch(
    shaders(JSON.stringify(form)),
    groupedViews(product),
    [...groups.numbers, depth, weight.width, weight.rows, from, columns, slotsPerRow],
    groups.tiles * Math.ceil(columns / results[result].columns),
  );
}
