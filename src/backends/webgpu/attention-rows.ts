// What the attention kernels share: rows, which are the queries of the heads that read one kv head, token by token; who sees whom; scores.
import type { DType } from "../../core/dtype.js";
import { isPackedView, type Matrix, type View } from "../../core/view.js";
import type { AttentionAttrs } from "../backend.js";
import { packedReads, quadDecoder, quadReader } from "./packed.js";

export type AttentionInputs = readonly [q: View, k: Matrix, v: Matrix, queries: View, keys: View];

/** Positions and distances are below this. */
const MAX_I32 = 2 ** 31 - 1;

export const attentionParams: Readonly<Record<string, DType>> = {
  tokens: "u32",
  heads: "u32",
  kv_heads: "u32",
  size: "u32",
  slots: "u32",
  key_rows: "u32",
  scale: "f32",
  softcap: "f32",
  causal: "u32",
  reach: "i32",
  sinks: "i32",
};

/** The numbers of {@link attentionParams}. */
export function attentionNumbers([q, k, , , keys]: AttentionInputs, attrs: AttentionAttrs): readonly number[] {
  const [, tokens, heads, size] = q.shape;
  const { scale, softcap, causal, window, sinks } = attrs;
  // Distances below it are inside the window. No distance is as large as a window of 2^31 - 1.
  const reach = window === 0 ? MAX_I32 : Math.min(causal ? window : window + 1, MAX_I32);
  const [slots, kvHeads] = k.shape;
  const extents = [tokens, heads, kvHeads, size, slots, keys.shape[1]];
  return [...extents, scale, softcap, Number(causal), reach, Math.min(sinks, MAX_I32)];
}

/** How attention's operands are read: the format of the pools, and whether heads are a multiple of 4 long. */
export interface Formats {
  readonly k: string;
  readonly v: string;
  readonly even: boolean;
}

export const formatOf = (pool: Matrix): string => (isPackedView(pool) ? pool.scheme : "f32");
export const partsOf = (pool: Matrix): readonly View[] => (isPackedView(pool) ? pool.parts : [pool]);

/** The windows of a shader that attends: with those of `quads` for q, k and v, the tables. */
export const attentionReads = ({ k, v }: Formats): Record<string, DType> => ({
  ...packedReads("f32", "q"),
  ...packedReads(k, "k"),
  ...packedReads(v, "v"),
  ...tableReads,
});

export const tableReads: Readonly<Record<string, DType>> = { queries: "i32", keys: "i32" };

/**
 * `fn NAME_four(row: u32, column: u32) -> vec4f`: four components of a head, zeros or finite ones past its end; column is a multiple of 4.
 * Rows are heads: of a token in q, of a slot in a pool.
 */
export const fours = (name: string, format: string, even: boolean): string =>
  // Pools of two formats have a decoder each.
  `${(quadDecoder(format) + quadReader(format, name, even)).replaceAll("quad_of(", `${name}_quad_of(`)}
fn ${name}_four(row: u32, column: u32) -> vec4f {
  if (column >= params.size) { return vec4f(); }
  return ${name}_quad(row, column, params.size);
}`;

/** `fn NAME_put(row: u32, column: u32, x: vec4f)` for a written window, where row is that of a head. */
export const putter = (name: string, even: boolean): string => `
fn ${name}_put(row: u32, column: u32, x: vec4f) {
  if (column >= params.size) { return; }
  let at = row * params.size + column;
  ${
    even
      ? `${name}_set_vec(at, x);`
      : `for (var i = 0u; i < min(4u, params.size - column); i++) { ${name}_set(at + i, x[i]); }`
  }
}`;

/** Queries and keys by the tables. A query is position, segment, first and last; a key is position, segment and slot. */
export const visibility = `
const NOWHERE = 0xffffffffu;
const LEAST = -3.4028234663852886e38;
// Heads that read one kv head.
fn share() -> u32 { return params.heads / params.kv_heads; }
fn rows_of_kv_head() -> u32 { return params.tokens * share(); }
fn query_of(batch: u32, row: u32) -> vec4i {
  if (row >= rows_of_kv_head()) { return vec4i(-1, 0, 0, 0); }
  let at = (batch * params.tokens + row / share()) * 4u;
  return vec4i(queries_at(at), queries_at(at + 1u), queries_at(at + 2u), queries_at(at + 3u));
}
// Which head of q, y and their gradients a row is.
fn head_of(batch: u32, kv_head: u32, row: u32) -> u32 {
  if (row >= rows_of_kv_head()) { return NOWHERE; }
  return (batch * params.tokens + row / share()) * params.heads + kv_head * share() + row % share();
}
fn key_of(batch: u32, key_row: u32, end: u32) -> vec3i {
  if (key_row >= end) { return vec3i(-1, 0, -1); }
  let at = (batch * params.key_rows + key_row) * 3u;
  return vec3i(keys_at(at), keys_at(at + 1u), keys_at(at + 2u));
}
// Which head of the pools a key is: nowhere, which counts as zeros, if it is hidden or its slot is none.
fn pool_head_of(key: vec3i, kv_head: u32) -> u32 {
  if (key.x < 0 || key.z < 0 || u32(key.z) >= params.slots) { return NOWHERE; }
  return u32(key.z) * params.kv_heads + kv_head;
}
// A global token carries the complement of its segment.
fn segment_of(mark: i32) -> i32 { return select(mark, ~mark, mark < 0); }
fn sees(query: vec4i, key: vec3i, key_row: u32) -> bool {
  let row = i32(key_row);
  let distance = query.x - key.x;
  let possible = query.x >= 0 && key.x >= 0 && row >= query.z && row < query.w && segment_of(query.y) == segment_of(key.y);
  let past = params.causal == 0u || distance >= 0;
  let near = abs(distance) < params.reach || key.x < params.sinks || query.y < 0 || key.y < 0;
  return possible && past && near;
}
// The range of key rows, within [first, last), that covers those of all queries.
fn widened(range: vec2u, query: vec4i) -> vec2u {
  let first = u32(max(query.z, 0));
  let last = u32(clamp(query.w, 0, i32(params.key_rows)));
  if (query.x < 0 || first >= last) { return range; }
  return vec2u(min(range.x, first), max(range.y, last));
}`;

/** Scores, and their exponentials by a top that none of them exceeds. */
export const scoring = `
fn bent(dot: f32) -> f32 { return tanh(clamp(dot * params.scale / params.softcap, -20.0, 20.0)); }
fn score_of(dot: f32) -> f32 {
  if (params.softcap == 0.0) { return dot * params.scale; }
  return params.softcap * bent(dot);
}
// Differences may be too large for f32, and nothing is left of them long before; a top may come from another shader, which rounds in its own
// way. (Minima and maxima would lose a NaN.)
fn lifted(score: f32, top: f32) -> f32 {
  let gap = score - top;
  return exp(select(select(gap, -100.0, gap < -100.0), 0.0, gap > 0.0));
}`;

/**
 * `fn any_lane(lane: u32, tag: u32, mine: bool) -> bool`, the same in all lanes: tags rise from call to call and are not 0. Uniform control
 * flow, and a barrier.
 */
export const anyLane = `
var<workgroup> latest_tag: atomic<u32>;
var<workgroup> tag_found: u32;
fn any_lane(lane: u32, tag: u32, mine: bool) -> bool {
  if (mine) { atomicMax(&latest_tag, tag); }
  workgroupBarrier();
  if (lane == 0u) { tag_found = u32(atomicLoad(&latest_tag) == tag); }
  return workgroupUniformLoad(&tag_found) == 1u;
}`;
