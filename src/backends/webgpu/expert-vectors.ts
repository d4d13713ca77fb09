// Products of few slots with the weights of their experts: each weight is read by one lane, for one slot. 16 lanes share four rows of a
// weight, so that they read memory in order and each number of x serves four times.
import type { View } from "../../core/view.js";
import { bytesReader } from "./byte-codes.js";
import type { Engine } from "./engine.js";
import { productForm, productReads, type ExpertMatrix, type LeftRows, type ProductForm } from "./expert-operands.js";
import {
  chunkReader, codeDots, groupReader, hasGroups, quadDecoder, quadIn, quadReader, scaled,
} from "./packed.js"; // prettier-ignore
import { variants, type Shader } from "./shader.js";
import { silu } from "./wgsl.js";

/** Lanes that share rows of the weight, and rows that they share. */
const SPAN = 16;
const ROWS = 4;

/** `fn dots(x_row, rows, place) -> vec4f`: what one lane of a span adds to four rows' products. @param height as `groupReader` takes it */
function dots(form: ProductForm, height: string): string {
  const { format, coded, step, packedDot } = form;
  const loop = (unit: number, load: string, dot: (row: string) => string): string => `
fn dots(x_row: u32, rows: vec4u, place: u32) -> vec4f {
  var sums = vec4f();
  for (var column = place * ${unit}u; column < params.width; column += ${SPAN * unit}u) {${load}
    sums += vec4f(${["x", "y", "z", "w"].map((row) => dot(`rows.${row}`)).join(", ")});
  }
  return sums;
}`;
  if (!hasGroups(format))
    return `${quadDecoder(format)}${quadReader("f32", "x", step > 1)}${quadReader(format, "w", step > 1)}${loop(
      4,
      `
    let x = x_quad(x_row, column, params.width);`,
      (row) => `dot(w_quad(${row}, column, params.width), x)`,
    )}`;
  const groups = groupReader(format, "w", height);
  if (coded)
    return `${bytesReader(format, "w", step === 16)}${groups}${codeDots(packedDot)}
fn coded_dot(row: u32, column: u32, x: vec4u) -> f32 {
  return f32(dot_of(w_bytes(row, column, params.width), x)) * w_group(row, column, params.width);
}${loop(
      16,
      `
    let block = x_row * ((params.width + 31u) / 32u) + column / 32u;
    let x = x_codes_vec(block * 8u + column % 32u / 4u);
    let scale = x_scales_at(block);`,
      (row) => `scale * coded_dot(${row}, column, x)`,
    )}`;
  const quads = [0, 1, 2, 3].map((i) => `x${i}`);
  const products = quads.map((x, i) => `dot(${scaled(format, quadIn(format, "chunk", i), "group")}, ${x})`);
  return `${quadDecoder(format)}${groups}${chunkReader(format, "w", step === 16)}${quadReader("f32", "x", step > 1)}
fn x_inside(row: u32, column: u32) -> vec4f {
  if (column < params.width) { return x_quad(row, column, params.width); }
  return vec4f();
}
fn decoded_dot(row: u32, column: u32, ${quads.map((quad) => `${quad}: vec4f`).join(", ")}) -> f32 {
  let chunk = w_chunk(row, column, params.width);
  let group = w_group(row, column, params.width);
  return ${products.join(" + ")};
}${loop(
    16,
    quads.map((quad, i) => `\n    let ${quad} = x_inside(x_row, column + ${4 * i}u);`).join(""),
    (row) => `decoded_dot(${row}, column, ${quads.join(", ")})`,
  )}`;
}

/** `fn total(span: u32, row: u32) -> f32` of what the lanes of a span left in `parts`. */
const total = `
var<workgroup> parts: array<vec4f, LANES>;
fn total(span: u32, row: u32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < ${SPAN}u; i++) { sum += parts[span * ${SPAN}u + i][row]; }
  return sum;
}`;

type Result = "rows" | "swiglu";

/** Of each result: columns of y per span, the rows of the weight for those from `column` on, and the value of column `own` of the span. */
const results: Readonly<Record<Result, { readonly columns: number; readonly rows: string; readonly value: string }>> = {
  rows: {
    columns: ROWS,
    rows: "min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(params.columns - 1u))",
    value: "total(span, own)",
  },
  // Rows of gate, then of up.
  swiglu: {
    columns: ROWS / 2,
    rows: "min(vec4u(column) + vec4u(0u, 1u, 0u, 1u), vec4u(params.columns - 1u)) + vec4u(0u, 0u, params.columns, params.columns)",
    value: "silu(total(span, own)) * total(span, own + 2u)",
  },
};

interface SlotForm extends ProductForm {
  readonly result: Result;
}

const SLOT_LANES = 64;

const slotShaders = variants((key: string): Shader => {
  const form = JSON.parse(key) as SlotForm;
  const { columns, rows, value } = results[form.result];
  const perGroup = (SLOT_LANES / SPAN) * columns;
  return {
    name: `expert-vectors-${form.result}-${form.format}`,
    reads: { ...productReads(form), chosen: "u32" },
    writes: { y: "f32" },
    params: { width: "u32", experts: "u32", weight_rows: "u32", columns: "u32", slots_per_row: "u32" },
    lanes: SLOT_LANES,
    code: `
${dots(form, "params.weight_rows")}
${total}
${form.result === "swiglu" ? silu : ""}
fn run(group: u32, lane: u32) {
  let tiles = (params.columns + ${perGroup - 1}u) / ${perGroup}u;
  let slot = group / tiles;
  let first = group % tiles * ${perGroup}u;
  let expert = chosen_at(slot);
  if (expert < params.experts) {
    let column = first + lane / ${SPAN}u * ${columns}u;
    let rows = ${rows};
    parts[lane] = dots(slot / params.slots_per_row, vec4u(expert * params.weight_rows) + rows, lane % ${SPAN}u);
  } else {
    parts[lane] = vec4f();
  }
  workgroupBarrier();
  if (lane < ${perGroup}u && first + lane < params.columns) {
    let span = lane / ${columns}u;
    let own = lane % ${columns}u;
    y_set(slot * params.columns + first + lane, ${value});
  }
}`,
  };
});

/** y [slots, columns]: rows of an expert's weight times a row of x, of which each serves `slotsPerRow` slots; zeros for empty slots. */
export interface SlotProduct {
  readonly x: LeftRows;
  readonly weight: ExpertMatrix;
  readonly chosen: View;
  readonly slotsPerRow: number;
  readonly y: View;
}

export function slotViews({ x, weight, chosen, y }: SlotProduct): readonly View[] {
  return [...x.parts, ...weight.parts, chosen, y];
}

/** @param result the rows' products, or silu of the first half times the second half */
export function slotProducts(engine: Engine, result: Result, product: SlotProduct): void {
  const { x, weight, slotsPerRow, y } = product;
  const [slots, columns] = y.shape;
  const form: SlotForm = { ...productForm(engine, weight, x), result };
  const perGroup = (SLOT_LANES / SPAN) * results[result].columns;
  engine.dispatch(
    slotShaders(JSON.stringify(form)),
    slotViews(product),
    [weight.width, weight.experts, weight.rows, columns, slotsPerRow],
    slots * Math.ceil(columns / perGroup),
  );
}

const SUM_LANES = 128;
const SUM_SPANS = SUM_LANES / SPAN;

const sumShaders = variants((key: string): Shader => {
  const form = JSON.parse(key) as ProductForm;
  return {
    name: `expert-vectors-sum-${form.format}`,
    reads: { ...productReads(form), chosen: "u32", weights: "f32" },
    writes: { y: "f32" },
    params: { width: "u32", experts: "u32", columns: "u32", slots_per_row: "u32", at_once: "u32" },
    lanes: SUM_LANES,
    code: `
${dots(form, "params.columns")}
${total}
var<workgroup> totals: array<f32, ${SUM_SPANS * ROWS}>;
fn run(group: u32, lane: u32) {
  // Spans take slots of the row side by side, and where there are few of them, more columns.
  let columns = ${SUM_SPANS * ROWS}u / params.at_once;
  let tiles = (params.columns + columns - 1u) / columns;
  let row = group / tiles;
  let first = group % tiles * columns;
  let span = lane / ${SPAN}u;
  let column = first + span / params.at_once * ${ROWS}u;
  let rows = min(vec4u(column) + vec4u(0u, 1u, 2u, 3u), vec4u(params.columns - 1u));
  var sum = 0.0;
  for (var j = 0u; j < params.slots_per_row; j += params.at_once) {
    let own = j + span % params.at_once;
    let slot = row * params.slots_per_row + own;
    var part = vec4f();
    if (own < params.slots_per_row) {
      let expert = chosen_at(slot);
      if (expert < params.experts) { part = dots(slot, vec4u(expert * params.columns) + rows, lane % ${SPAN}u); }
    }
    parts[lane] = part;
    workgroupBarrier();
    if (lane < ${SUM_SPANS * ROWS}u) { totals[lane] = total(lane / ${ROWS}u, lane % ${ROWS}u); }
    workgroupBarrier();
    if (lane < columns) {
      for (var i = 0u; i < min(params.at_once, params.slots_per_row - j); i++) {
        let slot = row * params.slots_per_row + j + i;
        let place = (lane / ${ROWS}u * params.at_once + i) * ${ROWS}u + lane % ${ROWS}u;
        if (chosen_at(slot) < params.experts) { sum += weights_at(slot) * totals[place]; }
      }
    }
  }
  if (lane < columns && first + lane < params.columns) { y_set(row * params.columns + first + lane, sum); }
}`,
  };
});

export function sumViews({ x, weight, chosen, y }: SlotProduct, weights: View): readonly View[] {
  return [...x.parts, ...weight.parts, chosen, weights, y];
}

/** y [rows, columns]: the weighted sum of the products of a row's slots, in their order. Each slot has a row of x. */
export function summedProducts(engine: Engine, product: SlotProduct, weights: View): void {
  const { x, weight, slotsPerRow, y } = product;
  const [rows, columns] = y.shape;
  const form = productForm(engine, weight, x);
  const atOnce = Math.min(SUM_SPANS, 2 ** Math.ceil(Math.log2(Math.max(1, slotsPerRow))));
  engine.dispatch(
    sumShaders(JSON.stringify(form)),
    sumViews(product, weights),
    [weight.width, weight.experts, columns, slotsPerRow, atOnce],
    rows * Math.ceil((columns * atOnce) / (SUM_SPANS * ROWS)),
  );
}

/** Whether so few slots share an expert that reading its weights once for each of them is the faster way. */
export const fewSlots = (slots: number, { experts }: ExpertMatrix): boolean => slots <= Math.max(16, experts / 2);
