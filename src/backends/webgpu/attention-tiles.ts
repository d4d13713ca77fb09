// WGSL of attention by tiles of 32 rows and 32 keys: products go through workgroup memory, 32 components at a time, and each of 64 lanes has a
// block of 4 x 4 results, in registers. Attention of many queries and its gradient are made of these pieces.
import { anyLane, scoring, visibility } from "./attention-rows.js";

/** Rows, and keys, of a tile. */
export const TILE = 32;
export const LANES = 64;

/**
 * A lane's block: rows ROW + 8 i and keys KEY + 8 j, where ROW is lane / 8 and KEY lane % 8, so that lanes side by side read different banks
 * of workgroup memory. `block[i][j]` is a pair's number and bit 4 i + j of a mask says whether the row sees the key.
 */
export const tiles = (size: number): string => `
const CHUNKS = ${Math.ceil(size / TILE)}u;
// A row of 8 vectors, and one more against conflicts.
const STRIDE = 9u;
alias Block = array<vec4f, 4>;
alias Sums = array<vec4f, ${4 * Math.ceil(size / TILE)}>;
${visibility}${scoring}${anyLane}
var<workgroup> left: array<vec4f, ${TILE * 9}>;
var<workgroup> right: array<vec4f, ${TILE * 9}>;
var<workgroup> weights: array<vec4f, ${TILE * 9}>;
var<workgroup> queries_here: array<vec4i, ${TILE}>;
var<workgroup> row_heads: array<u32, ${TILE}>;
var<workgroup> keys_here: array<vec3i, ${TILE}>;
var<workgroup> key_heads: array<u32, ${TILE}>;
// Whether numbers that are added up by weights were NaN or infinite, so that a weight of 0 does not make them 0.
var<workgroup> spoiled: atomic<u32>;

fn take_rows(batch: u32, kv_head: u32, first: u32, lane: u32) {
  if (lane >= ${TILE}u) { return; }
  queries_here[lane] = query_of(batch, first + lane);
  row_heads[lane] = head_of(batch, kv_head, first + lane);
}
fn take_keys(batch: u32, kv_head: u32, first: u32, end: u32, lane: u32) {
  if (lane >= ${TILE}u) { return; }
  let key = key_of(batch, first + lane, end);
  keys_here[lane] = key;
  key_heads[lane] = pool_head_of(key, kv_head);
}
// The key rows that some row of the tile may see.
fn range_here() -> vec2u {
  var range = vec2u(params.key_rows, 0u);
  for (var i = 0u; i < ${TILE}u; i++) { range = widened(range, queries_here[i]); }
  return range;
}
fn mask_of(first_key: u32, lane: u32) -> u32 {
  var mask = 0u;
  for (var i = 0u; i < 4u; i++) {
    let query = queries_here[lane / 8u + 8u * i];
    for (var j = 0u; j < 4u; j++) {
      let n = lane % 8u + 8u * j;
      mask |= u32(sees(query, keys_here[n], first_key + n)) << (4u * i + j);
    }
  }
  return mask;
}
fn has(mask: u32, i: u32, j: u32) -> bool { return ((mask >> (4u * i + j)) & 1u) == 1u; }
// The products of the components in \`left\` and \`right\`.
fn multiply(lane: u32, block: ptr<function, Block>) {
  for (var c = 0u; c < 8u; c++) {
    var xs = Block();
    for (var i = 0u; i < 4u; i++) { xs[i] = left[(lane / 8u + 8u * i) * STRIDE + c]; }
    for (var j = 0u; j < 4u; j++) {
      let y = right[(lane % 8u + 8u * j) * STRIDE + c];
      for (var i = 0u; i < 4u; i++) { (*block)[i][j] += dot(xs[i], y); }
    }
  }
}
// Adds to vectors of four components the rows of \`right\` by their weights: weights[n * STRIDE + lane / 8] has those of row n.
fn add_weighted(lane: u32, sums: ptr<function, Block>) {
  let careful = atomicLoad(&spoiled) == 1u;
  for (var n = 0u; n < ${TILE}u; n++) {
    let weight = weights[n * STRIDE + lane / 8u];
    let x = right[n * STRIDE + lane % 8u];
    for (var i = 0u; i < 4u; i++) {
      if (!careful || weight[i] != 0.0) { (*sums)[i] += weight[i] * x; }
    }
  }
}
fn note_spoiled(x: vec4f) {
  let exponents = bitcast<vec4u>(x) & vec4u(0x7f800000u);
  if (any(exponents == vec4u(0x7f800000u))) { atomicStore(&spoiled, 1u); }
}`;

/**
 * `fn NAME(lane: u32) -> Block`: the inner products of the tile's rows, of window ROWS, and keys, of window KEYS. Uniform control flow,
 * barriers.
 */
export const product = (name: string, rows: string, keys: string): string => `
fn ${name}(lane: u32) -> Block {
  var block = Block();
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    for (var i = lane; i < ${TILE * 8}u; i += ${LANES}u) {
      let column = (chunk * 8u + i % 8u) * 4u;
      let to = i / 8u * STRIDE + i % 8u;
      left[to] = ${fromTile(rows, "row_heads")};
      right[to] = ${fromTile(keys, "key_heads")};
    }
    workgroupBarrier();
    multiply(lane, &block);
    workgroupBarrier();
  }
  return block;
}`;

/**
 * `fn NAME(lane: u32, fade: vec4f, sums: ptr<function, Sums>)`: the lane's four sums, each multiplied by its fade, and the weighted rows or
 * keys of a window; sums[4 chunk + i] has components 32 chunk + 4 (lane % 8) and the next three. Uniform control flow, barriers, the first
 * of them before weights are read.
 */
export const accumulation = (name: string, window: string, heads: "row_heads" | "key_heads"): string => `
fn ${name}(lane: u32, fade: vec4f, sums: ptr<function, Sums>) {
  for (var chunk = 0u; chunk < CHUNKS; chunk++) {
    for (var i = lane; i < ${TILE * 8}u; i += ${LANES}u) {
      let column = (chunk * 8u + i % 8u) * 4u;
      let x = ${fromTile(window, heads)};
      note_spoiled(x);
      right[i / 8u * STRIDE + i % 8u] = x;
    }
    workgroupBarrier();
    var part = Block();
    for (var i = 0u; i < 4u; i++) { part[i] = (*sums)[4u * chunk + i] * fade[i]; }
    add_weighted(lane, &part);
    for (var i = 0u; i < 4u; i++) { (*sums)[4u * chunk + i] = part[i]; }
    workgroupBarrier();
  }
}`;

const fromTile = (window: string, heads: string): string => `${window}_here(${heads}[i / 8u], column)`;

/** What {@link product} and {@link accumulation} read: components of a head, zeros where it is nowhere. */
export const ofTile = (window: string): string => `
fn ${window}_here(head: u32, column: u32) -> vec4f {
  if (head == NOWHERE) { return vec4f(); }
  return ${window}_four(head, column);
}`;
