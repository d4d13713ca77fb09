// Gradients of expertLinear: dx[r, j] = W[e]^T dy[r, j], summed over j where the slots share a row of x; dW[e] = sum of dy[r, j] x^T over the
// slots of e, in their order, by a workgroup per tile of dW. It is 0 for an expert that nobody chose.
import type { View } from "../../../core/view.js";
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { groupParams, groupReaders, groupSlots, type ExpertGroups } from "../expert-groups.js";
import { expertMatrix } from "../expert-operands.js";
import { byColumns, groupedProducts, groupedViews } from "../expert-products.js";
import { TILE_COLUMNS, TILE_LANES, TILE_STEP, tileText } from "../expert-tiles.js";
import { packedReads, quadReader } from "../packed.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { variants, type Shader } from "../shader.js";
import { sumSlots } from "./combine-experts.js";

/** Rows of a tile of dW. */
const TILE_ROWS = 32;
const tile = tileText(TILE_ROWS, ["turned", "turned"]);

interface GradForm {
  /** Whether rows of dy, and of x, are a multiple of 4 long. */
  readonly evenOuts: boolean;
  readonly evenWidth: boolean;
}

const shaders = variants((key: string): Shader => {
  const { evenOuts, evenWidth } = JSON.parse(key) as GradForm;
  return {
    name: "expert-weight-grad",
    reads: { ...packedReads("f32", "dy"), ...packedReads("f32", "x"), groups: "u32" },
    writes: { d_weight: "f32" },
    params: { ...groupParams, outs: "u32", width: "u32", slots_per_row: "u32" },
    lanes: TILE_LANES,
    code: `
${groupReaders}${quadReader("f32", "dy", evenOuts)}${quadReader("f32", "x", evenWidth)}
var<private> first_row: u32;
var<private> first_column: u32;
var<private> begin: u32;
var<private> end: u32;
fn a_inside(k: u32, at: u32) -> vec4f {
  let column = first_row + at;
  if (begin + k < end && column < params.outs) { return dy_quad(slot_at(begin + k), column, params.outs); }
  return vec4f();
}
fn b_inside(k: u32, at: u32) -> vec4f {
  let column = first_column + at;
  if (begin + k < end && column < params.width) {
    return x_quad(slot_at(begin + k) / params.slots_per_row, column, params.width);
  }
  return vec4f();
}
${tile.loaders}
fn put(expert: u32, row: u32, column: u32, values: vec4f) {
  if (row >= params.outs) { return; }
  for (var c = 0u; c < 4u; c++) {
    let at = column + c * ${TILE_STEP}u;
    if (at < params.width) { d_weight_set((expert * params.outs + row) * params.width + at, values[c]); }
  }
}
fn run(group: u32, lane: u32) {
  let column_tiles = (params.width + ${TILE_COLUMNS - 1}u) / ${TILE_COLUMNS}u;
  let row_tiles = (params.outs + ${TILE_ROWS - 1}u) / ${TILE_ROWS}u;
  first_column = group % column_tiles * ${TILE_COLUMNS}u;
  first_row = group / column_tiles % row_tiles * ${TILE_ROWS}u;
  let expert = group / column_tiles / row_tiles;
  begin = groups_at(expert);
  end = groups_at(expert + 1u);
  let depth = groups_at(expert + 1u) - groups_at(expert);
  ${tile.sums}
${tile.rows((row, sums) => sums.map((sum, h) => `put(expert, first_row + ${row}, first_column + j + ${32 * h}u, ${sum});`).join(" "))}
}`,
  };
});

function weightGrad(
  engine: Engine,
  { dy, x, dWeight }: { readonly dy: View; readonly x: View; readonly dWeight: View },
  groups: ExpertGroups,
  slotsPerRow: number,
): void {
  const [experts, outs, width] = dWeight.shape;
  const form: GradForm = { evenOuts: outs % 4 === 0, evenWidth: width % 4 === 0 };
  engine.dispatch(
    shaders(JSON.stringify(form)),
    [dy, x, groups.table, dWeight],
    [...groups.numbers, outs, width, slotsPerRow],
    experts * Math.ceil(outs / TILE_ROWS) * Math.ceil(width / TILE_COLUMNS),
  );
}

export const expertLinearGrad =
  (engine: Engine): Kernels["expertLinearGrad"] =>
  ([x, weight, experts, dy], [dx, dWeight]) => {
    const matrix = expertMatrix(weight);
    const [rows, k] = experts.shape;
    const slots = rows * k;
    const slotsPerRow = x.shape.length === 2 ? k : 1;
    const groups = groupSlots(engine, experts, matrix.experts);
    const left = { parts: [dy], coded: false };
    const each = { result: "turned", x: left, weight: matrix, groups, slotsPerRow: 1, from: 0 } as const;
    if (dx !== undefined && engine.bindings(...groupedViews({ ...each, y: dx })) > MAX_WINDOWS) return DECLINED;
    if (dWeight !== undefined) weightGrad(engine, { dy, x, dWeight }, groups, slotsPerRow);
    if (dx !== undefined && slotsPerRow === 1) {
      groupedProducts(engine, { ...each, y: { ...dx, shape: [slots, matrix.width] } });
    } else if (dx !== undefined) {
      byColumns(engine, slots, matrix.width, (products, from) => {
        groupedProducts(engine, { ...each, y: products, from });
        const [, columns] = products.shape;
        sumSlots(engine, { ...products, shape: [rows, k, columns] }, undefined, dx, from);
      });
    }
    return undefined;
  };
