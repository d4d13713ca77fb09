// With s = 1 / sqrt(mean(x^2) + eps): dx = s * (w dy - x * s^2 * mean(w dy x)), dWeight = sum over rows of dy * x * s. The lanes of a row go on
// to the next ones of a block and add up what these give to dWeight; the sums of all blocks are added in a second dispatch.
import { rowsOf } from "../../../core/shape.js";
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { dispatchRows, rowShaders, type RowForm } from "../rows.js";
import { reduce } from "./reduce.js";

/** The most workgroups that rows are divided among. */
const GROUPS = 512;

const shadersFor = (wanted: { readonly x: boolean; readonly weight: boolean }) =>
  rowShaders(({ get, set, sum }: RowForm) => ({
    name: "rms-norm-grad",
    reads: { x: "f32", weight: "f32", dy: "f32" },
    writes: { ...(wanted.x && { dx: "f32" as const }), ...(wanted.weight && { sums: "f32" as const }) },
    params: { all: "u32", block: "u32", eps: "f32" },
    code: `
${sum}
// Rows here are blocks of them.
fn row_of(block: u32, begin: u32, block_end: u32, lane: u32) {
  let sums_first = block * params.width;
  for (var k = 0u; k < params.block; k++) {
    let row = block * params.block + k;
    let end = select(0u, block_end, row < params.all);
    let first = row * params.width;
    var squares = Numbers();
    var products = Numbers();
    for (var i = begin; i < end; i += STRIDE) {
      let x = x${get}(first + i);
      squares += x * x;
      products += weight${get}(i) * dy${get}(first + i) * x;
    }
    let s = inverseSqrt(all_sum(lane, across_sum(squares)) / f32(params.width) + params.eps);
    let pull = all_sum(lane, across_sum(products)) / f32(params.width) * s * s;
    for (var i = begin; i < end; i += STRIDE) {
      let x = x${get}(first + i);
      let d = dy${get}(first + i);
${wanted.x ? `      dx${set}(first + i, s * (weight${get}(i) * d - x * pull));` : ""}
${
  wanted.weight
    ? `      var total = d * x * s;
      if (k > 0u) { total += sums${get}(sums_first + i); }
      sums${set}(sums_first + i, total);`
    : ""
}
    }
  }
}`,
  }));
const both = shadersFor({ x: true, weight: true });
const onlyX = shadersFor({ x: true, weight: false });
const onlyWeight = shadersFor({ x: false, weight: true });

export const rmsNormGrad =
  (engine: Engine): Kernels["rmsNormGrad"] =>
  ([x, weight, dy], [dx, dWeight], { eps }) => {
    const { rows, width } = rowsOf(x.shape);
    if (dWeight === undefined) {
      if (dx) dispatchRows(engine, onlyX, { rows, width }, [x, weight, dy, dx], [rows, 1, eps]);
      return undefined;
    }
    const block = Math.max(1, Math.ceil(rows / GROUPS));
    const blocks = Math.ceil(rows / block);
    const sums = engine.scratch("f32", blocks, width);
    const views = dx ? [x, weight, dy, dx, sums] : [x, weight, dy, sums];
    if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
    dispatchRows(engine, dx ? both : onlyWeight, { rows: blocks, width }, views, [rows, block, eps]);
    reduce(engine)([sums], [{ ...dWeight, shape: [1, width] }], { op: "sum", axes: [0] });
    return undefined;
  };
