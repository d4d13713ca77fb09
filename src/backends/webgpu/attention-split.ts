// Attention of few queries over many keys: workgroups share out the keys of each kv head, and a second dispatch joins what they found. Keys and
// values are read once for all rows of a workgroup, straight from memory (flash decoding).
import type { View } from "../../core/view.js";
import type { AttentionAttrs } from "../backend.js";
import {
  anyLane,
  attentionNumbers,
  attentionParams,
  attentionReads,
  formatOf,
  fours,
  partsOf,
  putter,
  scoring,
  visibility,
  type AttentionInputs,
  type Formats,
} from "./attention-rows.js";
import type { Engine } from "./engine.js";
import { variants, type Shader } from "./shader.js";

/** Lanes, and key rows that are looked at together: each lane looks after one. */
const SPAN = 128;
/** Components of a head that as many lanes read, four each. */
export const MAX_FEW_SIZE: number = 4 * SPAN;
/** Table rows up to which keys are not shared out: a second dispatch would cost more than it saves. */
export const FEW_KEYS = 256;
/** Workgroups that keep a large device busy, and parts that one lane can still join. */
const ENOUGH_GROUPS = 512;
const MAX_PARTS = 64;

interface Split extends Formats {
  /** Rows of a workgroup, a power of two. */
  readonly rows: number;
  /** Lanes that read a head of v, four components each; a power of two. */
  readonly wide: number;
  /** Whether it writes a part of the result, for the second dispatch. */
  readonly partial: boolean;
}

const shaders = variants((variant: string): Shader => {
  const { rows, wide, partial, ...formats } = JSON.parse(variant) as Split;
  const keysAtOnce = SPAN / wide;
  const finish = partial
    ? `
      let at = (head * params.parts + part) * (WIDE + 1u) * 4u;
      y_set_vec(at + lane * 4u, sum);
      if (lane == 0u) { y_set_vec(at + WIDE * 4u, vec4f(tops[r], totals[r], 0.0, 0.0)); }`
    : `
      y_put(head, lane * 4u, select(vec4f(), sum / totals[r], totals[r] > 0.0));`;
  return {
    name: partial ? "attention-part" : "attention-few",
    reads: attentionReads(formats),
    writes: { y: "f32" },
    params: { ...attentionParams, chunks: "u32", parts: "u32", part_rows: "u32" },
    lanes: SPAN,
    code: `
const ROWS = ${rows}u;
const WIDE = ${wide}u;
const KEYS_AT_ONCE = ${keysAtOnce}u;
const AHEAD = ${Math.min(4, wide)}u;
${fours("q", "f32", formats.even)}${fours("k", formats.k, formats.even)}${fours("v", formats.v, formats.even)}
${visibility}${scoring}${anyLane}${partial ? "" : putter("y", formats.even)}
var<workgroup> queries_here: array<vec4i, ROWS>;
var<workgroup> range: vec2u;
// The queries; behind the last key, the sums of a row.
var<workgroup> fours_here: array<vec4f, ${Math.max(rows * wide, SPAN)}>;
// Of each key of the span: its head in the pools, the rows that see it, a bit each, and their scores, which become weights.
var<workgroup> pool_heads: array<u32, SPAN>;
var<workgroup> seen: array<u32, SPAN>;
var<workgroup> weights: array<f32, ${SPAN * rows}>;
var<workgroup> slices: array<f32, ${SPAN * rows}>;
// Of each row: the greatest score, the sum of the exponentials, and what they are multiplied by since there is a greater one.
var<workgroup> tops: array<f32, ROWS>;
var<workgroup> totals: array<f32, ROWS>;
var<workgroup> fades: array<f32, ROWS>;
var<workgroup> best: array<f32, SPAN>;
var<workgroup> sums: array<f32, SPAN>;

const SPAN = ${SPAN}u;
fn run(group: u32, lane: u32) {
  let part = group % params.parts;
  let chunk = group / params.parts % params.chunks;
  let kv_head = group / (params.parts * params.chunks) % params.kv_heads;
  let batch = group / (params.parts * params.chunks * params.kv_heads);
  let first_row = chunk * ROWS;
  if (lane < ROWS) {
    queries_here[lane] = query_of(batch, first_row + lane);
    tops[lane] = LEAST;
    totals[lane] = 0.0;
  }
  for (var i = lane; i < ROWS * WIDE; i += SPAN) {
    let head = head_of(batch, kv_head, first_row + i / WIDE);
    if (head != NOWHERE) { fours_here[i] = q_four(head, i % WIDE * 4u); }
  }
  workgroupBarrier();
  if (lane == 0u) {
    var all = vec2u(params.key_rows, 0u);
    for (var r = 0u; r < ROWS; r++) { all = widened(all, queries_here[r]); }
    range = vec2u(max(all.x, part * params.part_rows), min(all.y, (part + 1u) * params.part_rows));
  }
  let key_rows = workgroupUniformLoad(&range);
  var result = array<vec4f, ROWS>();
  for (var first = key_rows.x; first < key_rows.y; first += SPAN) {
    let key = key_of(batch, first + lane, key_rows.y);
    var seen_by = 0u;
    for (var r = 0u; r < ROWS; r++) { seen_by |= u32(sees(queries_here[r], key, first + lane)) << r; }
    seen[lane] = seen_by;
    pool_heads[lane] = pool_head_of(key, kv_head);
    if (!any_lane(lane, first + 1u, seen_by != 0u)) { continue; }
    score(lane);
    weigh(lane);
    add_values(lane, &result);
    workgroupBarrier();
  }
  for (var r = 0u; r < ROWS; r++) {
    fours_here[lane] = result[r];
    workgroupBarrier();
    let head = head_of(batch, kv_head, first_row + r);
    if (lane < WIDE && head != NOWHERE) {
      var sum = fours_here[lane];
      for (var i = 1u; i < KEYS_AT_ONCE; i++) { sum += fours_here[i * WIDE + lane]; }${finish}
    }
    workgroupBarrier();
  }
}
// Four lanes share a key, so that they read it in order.
fn score(lane: u32) {
  for (var step = 0u; step < SPAN; step += SPAN / 4u) {
    let n = step + lane / 4u;
    var dots = array<f32, ROWS>();
    if (seen[n] != 0u && pool_heads[n] != NOWHERE) {
      for (var i = lane % 4u; i < WIDE; i += 4u) {
        let x = k_four(pool_heads[n], i * 4u);
        for (var r = 0u; r < ROWS; r++) { dots[r] += dot(fours_here[r * WIDE + i], x); }
      }
    }
    for (var r = 0u; r < ROWS; r++) { slices[(lane / 4u * ROWS + r) * 4u + lane % 4u] = dots[r]; }
    workgroupBarrier();
    for (var i = lane; i < SPAN / 4u * ROWS; i += SPAN) {
      weights[step * ROWS + i] = score_of((slices[4u * i] + slices[4u * i + 1u]) + (slices[4u * i + 2u] + slices[4u * i + 3u]));
    }
    workgroupBarrier();
  }
}
// Sixteen lanes share a row.
fn weigh(lane: u32) {
  let row = lane / 16u;
  let first = lane / 16u * 16u;
  var top = LEAST;
  if (row < ROWS) {
    for (var n = lane % 16u; n < SPAN; n += 16u) {
      if (((seen[n] >> row) & 1u) == 1u) { top = max(top, weights[n * ROWS + row]); }
    }
  }
  best[lane] = top;
  workgroupBarrier();
  var before = LEAST;
  if (row < ROWS) {
    before = tops[row];
    top = before;
    for (var i = 0u; i < 16u; i++) { top = max(top, best[first + i]); }
    var sum = 0.0;
    for (var n = lane % 16u; n < SPAN; n += 16u) {
      var weight = 0.0;
      if (((seen[n] >> row) & 1u) == 1u) { weight = lifted(weights[n * ROWS + row], top); }
      weights[n * ROWS + row] = weight;
      sum += weight;
    }
    sums[lane] = sum;
  }
  workgroupBarrier();
  if (row < ROWS && lane == first) {
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) { total += sums[first + i]; }
    let fade = lifted(before, top);
    totals[row] = totals[row] * fade + total;
    tops[row] = top;
    fades[row] = fade;
  }
  workgroupBarrier();
}
// Lanes side by side read a head of v; the next ones another key.
fn add_values(lane: u32, result: ptr<function, array<vec4f, ROWS>>) {
  for (var r = 0u; r < ROWS; r++) { (*result)[r] *= fades[r]; }
  for (var first = lane / WIDE; first < SPAN; first += KEYS_AT_ONCE * AHEAD) {
    var values = array<vec4f, AHEAD>();
    for (var i = 0u; i < AHEAD; i++) {
      let n = first + i * KEYS_AT_ONCE;
      if (seen[n] != 0u && pool_heads[n] != NOWHERE) { values[i] = v_four(pool_heads[n], lane % WIDE * 4u); }
    }
    for (var i = 0u; i < AHEAD; i++) {
      for (var r = 0u; r < ROWS; r++) {
        let weight = weights[(first + i * KEYS_AT_ONCE) * ROWS + r];
        // What a row does not see may be NaN.
        if (weight != 0.0) { (*result)[r] += weight * values[i]; }
      }
    }
  }
}`,
  };
});

const LANES = 64;

const joins = variants((evenness: "even" | "odd"): Shader => ({
  name: "attention-join",
  reads: { x: "f32" },
  writes: { y: "f32" },
  params: { items: "u32", size: "u32", wide: "u32", parts: "u32" },
  lanes: LANES,
  code: `
${putter("y", evenness === "even")}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let head = item / params.wide;
  let column = item % params.wide * 4u;
  let stride = (params.wide + 1u) * 4u;
  let first = head * params.parts * stride;
  var top = x_at(first + params.wide * 4u);
  for (var part = 1u; part < params.parts; part++) { top = max(top, x_at(first + part * stride + params.wide * 4u)); }
  var total = 0.0;
  var sum = vec4f();
  for (var part = 0u; part < params.parts; part++) {
    let at = first + part * stride;
    let found = x_vec(at + params.wide * 4u);
    let fade = exp(max(found.x - top, -100.0));
    total += found.y * fade;
    sum += x_vec(at + column) * fade;
  }
  y_put(head, column, select(vec4f(), sum / total, total > 0.0));
}`,
}));

/** What a part of the keys gives a row: sums of `wide` vectors, then the greatest score and the sum of the exponentials. */
export const partOf = (wide: number): number => (wide + 1) * 4;

/** Rows of y from their parts. @param x f32 [rows, parts, partOf(wide)] */
export function joinParts(engine: Engine, x: View, y: View, wide: number): void {
  const size = y.shape[y.shape.length - 1];
  const items = x.shape[0] * wide;
  const shader = joins(size % 4 === 0 ? "even" : "odd");
  engine.dispatch(shader, [x, y], [items, size, wide, x.shape[1]], Math.ceil(items / LANES));
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(least));

/** Attention by one dispatch, or by two where keys are many and rows few. Every extent of y is at least 1. */
export function attendFew(engine: Engine, inputs: AttentionInputs, y: View, attrs: AttentionAttrs): void {
  const [q, k, v, queries, keys] = inputs;
  const [batches, tokens, heads, size] = q.shape;
  const kvHeads = k.shape[1];
  const keyRows = keys.shape[1];
  const allRows = (tokens * heads) / kvHeads;
  const wide = powerOfTwo(Math.ceil(size / 4));
  const rows = powerOfTwo(Math.min(allRows, wide > 32 ? 4 : 8));
  const chunks = Math.ceil(allRows / rows);
  const workers = batches * kvHeads * chunks;
  const spans = Math.max(1, Math.ceil(keyRows / SPAN));
  const wanted = keyRows <= FEW_KEYS ? 1 : Math.min(spans, MAX_PARTS, Math.ceil(ENOUGH_GROUPS / workers));
  const partSpans = Math.ceil(spans / wanted);
  const parts = Math.ceil(spans / partSpans);
  const even = size % 4 === 0;
  const split: Split = { k: formatOf(k), v: formatOf(v), even, rows, wide, partial: parts > 1 };
  const results = batches * tokens * heads;
  const to = split.partial ? engine.scratch("f32", results, parts, partOf(wide)) : y;
  const views = [q, ...partsOf(k), ...partsOf(v), queries, keys, to];
  const numbers = [...attentionNumbers(inputs, attrs), chunks, parts, partSpans * SPAN];
  engine.dispatch(shaders(JSON.stringify(split)), views, numbers, workers * parts);
  if (split.partial) joinParts(engine, to, y, wide);
}
