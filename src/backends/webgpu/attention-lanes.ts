// Attention on an emulated device, where lanes that wait for one another cost far more than reading twice: each lane takes a row, and a part of
// its keys where rows are few, by itself.
import type { View } from "../../core/view.js";
import type { AttentionAttrs } from "../backend.js";
import {
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
import { FEW_KEYS, joinParts, partOf } from "./attention-split.js";
import type { Engine } from "./engine.js";
import { variants, type Shader } from "./shader.js";

const LANES = 16;
/** Lanes that keep a processor busy. */
const ENOUGH_LANES = 128;

interface Alone extends Formats {
  /** Vectors of a head. */
  readonly wide: number;
  /** Whether it writes a part of the result, for a second dispatch. */
  readonly partial: boolean;
}

const shaders = variants((variant: string): Shader => {
  const { wide, partial, ...formats } = JSON.parse(variant) as Alone;
  const finish = partial
    ? `
  let at = (head * params.parts + part) * ${partOf(wide)}u;
  for (var i = 0u; i < WIDE; i++) { y_set_vec(at + i * 4u, sums[i]); }
  y_set_vec(at + WIDE * 4u, vec4f(top, total, 0.0, 0.0));`
    : `
  for (var i = 0u; i < WIDE; i++) { y_put(head, i * 4u, select(vec4f(), sums[i] / total, total > 0.0)); }`;
  return {
    name: partial ? "attention-alone-part" : "attention-alone",
    reads: attentionReads(formats),
    writes: { y: "f32" },
    params: { ...attentionParams, items: "u32", parts: "u32", part_rows: "u32" },
    lanes: LANES,
    code: `
const WIDE = ${wide}u;
${fours("q", "f32", formats.even)}${fours("k", formats.k, formats.even)}${fours("v", formats.v, formats.even)}
${visibility}${scoring}${partial ? "" : putter("y", formats.even)}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let row = item % rows_of_kv_head();
  let kv_head = item / rows_of_kv_head() % params.kv_heads;
  let part = item / (rows_of_kv_head() * params.kv_heads) % params.parts;
  let batch = item / (rows_of_kv_head() * params.kv_heads * params.parts);
  let head = head_of(batch, kv_head, row);
  let query = query_of(batch, row);
  let range = widened(vec2u(params.key_rows, 0u), query);
  let end = min(range.y, (part + 1u) * params.part_rows);
  var x = array<vec4f, WIDE>();
  for (var i = 0u; i < WIDE; i++) { x[i] = q_four(head, i * 4u); }
  var top = LEAST;
  var total = 0.0;
  var sums = array<vec4f, WIDE>();
  for (var first = max(range.x, part * params.part_rows); first < end; first += 4u) {
    var heads = vec4u(NOWHERE);
    var seen = vec4<bool>();
    for (var n = 0u; n < 4u; n++) {
      let key = key_of(batch, first + n, end);
      seen[n] = sees(query, key, first + n);
      if (seen[n]) { heads[n] = pool_head_of(key, kv_head); }
    }
    if (!any(seen)) { continue; }
    // In place of a head that is not there, one that is: by a weight of 0, it adds no NaN that is not there already.
    let known = heads != vec4u(NOWHERE);
    let some_head = min(min(heads.x, heads.y), min(heads.z, heads.w));
    let places = select(vec4u(some_head), heads, known);
    var products = vec4f();
    for (var i = 0u; i < WIDE; i++) {
      let y = x[i];
      let column = i * 4u;
      products += vec4f(
        dot(y, k_quad(places.x, column, params.size)),
        dot(y, k_quad(places.y, column, params.size)),
        dot(y, k_quad(places.z, column, params.size)),
        dot(y, k_quad(places.w, column, params.size)),
      );
    }
    products = select(vec4f(), products, known);
    var scores = vec4f();
    var highest = top;
    for (var n = 0u; n < 4u; n++) {
      scores[n] = score_of(products[n]);
      if (seen[n]) { highest = max(highest, scores[n]); }
    }
    let fade = lifted(top, highest);
    top = highest;
    var weights = vec4f();
    for (var n = 0u; n < 4u; n++) { if (seen[n]) { weights[n] = lifted(scores[n], top); } }
    total = total * fade + (weights.x + weights.y + weights.z + weights.w);
    for (var i = 0u; i < WIDE; i++) { sums[i] *= fade; }
    if (some_head == NOWHERE) { continue; }
    let used = select(vec4f(), weights, known);
    for (var i = 0u; i < WIDE; i++) {
      let column = i * 4u;
      sums[i] += used.x * v_quad(places.x, column, params.size) + used.y * v_quad(places.y, column, params.size)
        + used.z * v_quad(places.z, column, params.size) + used.w * v_quad(places.w, column, params.size);
    }
  }${finish}
}`,
  };
});

/** Every extent of y is at least 1. */
export function attendAlone(engine: Engine, inputs: AttentionInputs, y: View, attrs: AttentionAttrs): void {
  const [q, k, v, queries, keys] = inputs;
  const [batches, tokens, heads, size] = q.shape;
  const keyRows = keys.shape[1];
  const rows = batches * tokens * heads;
  const wanted = keyRows <= FEW_KEYS ? 1 : Math.ceil(ENOUGH_LANES / rows);
  const partRows = Math.max(1, Math.ceil(keyRows / wanted));
  const parts = Math.max(1, Math.ceil(keyRows / partRows));
  const wide = Math.ceil(size / 4);
  const alone: Alone = { k: formatOf(k), v: formatOf(v), even: size % 4 === 0, wide, partial: parts > 1 };
  const to = alone.partial ? engine.scratch("f32", rows, parts, partOf(wide)) : y;
  const views = [q, ...partsOf(k), ...partsOf(v), queries, keys, to];
  const items = rows * parts;
  const numbers = [...attentionNumbers(inputs, attrs), items, parts, partRows];
  engine.dispatch(shaders(JSON.stringify(alone)), views, numbers, Math.ceil(items / LANES));
  if (alone.partial) joinParts(engine, to, y, wide);
}
