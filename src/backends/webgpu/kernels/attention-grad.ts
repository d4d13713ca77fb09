// Gradients of attention by tiles, with the weights made again. First of each row the greatest score, the sum of the exponentials and dy . y;
// then dq by tiles of rows, and dk and dv by tiles of key rows, whose sums by slot come last.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type View } from "../../../core/view.js";
import type { DType } from "../../../core/dtype.js";
import { DECLINED, type AttentionAttrs, type Kernels } from "../../backend.js";
import { attentionNumbers, attentionParams, fours, putter, tableReads } from "../attention-rows.js";
import { accumulation, LANES, ofTile, product, TILE, tiles } from "../attention-tiles.js";
import type { Engine } from "../engine.js";
import { packedReads } from "../packed.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { variants, type Shader } from "../shader.js";
import { sumBySlot } from "../slot-sums.js";

type Pass = "rows" | "q" | "k" | "v";

/** The heads that a pass reads, beside the tables. */
const readBy: Readonly<Record<Pass, readonly string[]>> = {
  rows: ["q", "k", "y", "dy"],
  q: ["q", "k", "v", "dy"],
  k: ["q", "k", "v", "dy"],
  v: ["q", "k", "dy"],
};

/** Greatest score, inverse of the sum of exponentials, and dy . y: of the lane's four rows. */
const statistics = `
fn statistics_of(i: u32, lane: u32) -> vec4f {
  let head = row_heads[lane / 8u + 8u * i];
  if (head == NOWHERE) { return vec4f(); }
  return rows_vec(head * 4u);
}
fn weight_of(score: f32, of_row: vec4f) -> f32 { return lifted(score, of_row.x) * of_row.y; }`;

/** How the loss moves with q . k, where the row sees the key. */
const slope = `
fn slope_of(dot: f32, d_weight: f32, of_row: vec4f) -> f32 {
  let weight = weight_of(score_of(dot), of_row);
  if (weight == 0.0) { return 0.0; }
  var result = weight * (d_weight - of_row.z) * params.scale;
  if (params.softcap != 0.0) { let b = bent(dot); result *= 1.0 - b * b; }
  return result;
}`;

/** Tiles of rows: loops over the keys that they may see. */
const overKeys = (before: string, body: string, after: string): string => `
var<workgroup> range: vec2u;
fn run(group: u32, lane: u32) {
  let tile = group % params.tiles;
  let kv_head = group / params.tiles % params.kv_heads;
  let batch = group / (params.tiles * params.kv_heads);
  take_rows(batch, kv_head, tile * ${TILE}u, lane);
  workgroupBarrier();
  if (lane == 0u) { range = range_here(); }
  let key_rows = workgroupUniformLoad(&range);${before}
  for (var first = key_rows.x; first < key_rows.y; first += ${TILE}u) {
    take_keys(batch, kv_head, first, key_rows.y, lane);
    workgroupBarrier();
    let mask = mask_of(first, lane);
    if (!any_lane(lane, first + 1u, mask != 0u)) { continue; }
    let dots = scores(lane);${body}
  }${after}
}`;

/** Tiles of key rows: loops over all rows. */
const overRows = (body: string): string => `
fn run(group: u32, lane: u32) {
  let key_tile = group % params.tiles;
  let kv_head = group / params.tiles % params.kv_heads;
  let batch = group / (params.tiles * params.kv_heads);
  let first = key_tile * ${TILE}u;
  take_keys(batch, kv_head, first, params.key_rows, lane);
  var result = Sums();
  for (var row = 0u; row < rows_of_kv_head(); row += ${TILE}u) {
    take_rows(batch, kv_head, row, lane);
    workgroupBarrier();
    let mask = mask_of(first, lane);
    if (!any_lane(lane, row + 1u, mask != 0u)) { continue; }
    let dots = scores(lane);${body}
  }
  for (var i = 0u; i < 4u; i++) {
    let key_row = first + lane / 8u + 8u * i;
    if (key_row >= params.key_rows) { continue; }
    let head = (batch * params.key_rows + key_row) * params.kv_heads + kv_head;
    for (var chunk = 0u; chunk < CHUNKS; chunk++) { result_put(head, (chunk * 8u + lane % 8u) * 4u, result[4u * chunk + i]); }
  }
}`;

const bodies: Readonly<Record<Pass, string>> = {
  rows: `
var<workgroup> across: array<vec4f, LANES>;
// Over the eight lanes that share rows.
fn sum_across(lane: u32, x: vec4f) -> vec4f {
  workgroupBarrier();
  across[lane] = x;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < 8u; i++) { sum += across[lane / 8u * 8u + i]; }
  return sum;
}
${overKeys(
  `
  // Of the lane's own keys.
  var tops = vec4f(LEAST);
  var totals = vec4f();`,
  `
    for (var i = 0u; i < 4u; i++) {
      var top = tops[i];
      for (var j = 0u; j < 4u; j++) { if (has(mask, i, j)) { top = max(top, score_of(dots[i][j])); } }
      totals[i] *= lifted(tops[i], top);
      for (var j = 0u; j < 4u; j++) { if (has(mask, i, j)) { totals[i] += lifted(score_of(dots[i][j]), top); } }
      tops[i] = top;
    }`,
  `
  across[lane] = tops;
  workgroupBarrier();
  var best = tops;
  for (var i = 0u; i < 8u; i++) { best = max(best, across[lane / 8u * 8u + i]); }
  for (var i = 0u; i < 4u; i++) { totals[i] *= lifted(tops[i], best[i]); }
  totals = sum_across(lane, totals);
  var products = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let head = row_heads[lane / 8u + 8u * i];
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let column = (chunk * 8u + lane % 8u) * 4u;
      products[i] += dot(dy_here(head, column), y_here(head, column));
    }
  }
  products = sum_across(lane, products);
  for (var i = 0u; i < 4u; i++) {
    let head = row_heads[lane / 8u + 8u * i];
    if (lane % 8u != 0u || head == NOWHERE) { continue; }
    result_set_vec(head * 4u, vec4f(best[i], select(0.0, 1.0 / totals[i], totals[i] > 0.0), products[i], 0.0));
  }`,
)}`,
  q: `${statistics}${slope}${product("d_weights", "dy", "v")}${accumulation("add_keys", "k", "key_heads")}
${overKeys(
  `
  var of_rows = Block();
  for (var i = 0u; i < 4u; i++) { of_rows[i] = statistics_of(i, lane); }
  var result = Sums();`,
  `
    let moved = d_weights(lane);
    for (var j = 0u; j < 4u; j++) {
      var weight = vec4f();
      for (var i = 0u; i < 4u; i++) { if (has(mask, i, j)) { weight[i] = slope_of(dots[i][j], moved[i][j], of_rows[i]); } }
      weights[(lane % 8u + 8u * j) * STRIDE + lane / 8u] = weight;
    }
    add_keys(lane, vec4f(1.0), &result);`,
  `
  for (var i = 0u; i < 4u; i++) {
    let head = row_heads[lane / 8u + 8u * i];
    if (head == NOWHERE) { continue; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) { result_put(head, (chunk * 8u + lane % 8u) * 4u, result[4u * chunk + i]); }
  }`,
)}`,
  k: `${statistics}${slope}${product("d_weights", "dy", "v")}${accumulation("add_queries", "q", "row_heads")}
${overRows(`
    let moved = d_weights(lane);
    for (var i = 0u; i < 4u; i++) {
      let of_row = statistics_of(i, lane);
      var weight = vec4f();
      for (var j = 0u; j < 4u; j++) { if (has(mask, i, j)) { weight[j] = slope_of(dots[i][j], moved[i][j], of_row); } }
      weights[(lane / 8u + 8u * i) * STRIDE + lane % 8u] = weight;
    }
    add_queries(lane, vec4f(1.0), &result);`)}`,
  v: `${statistics}${accumulation("add_results", "dy", "row_heads")}
${overRows(`
    for (var i = 0u; i < 4u; i++) {
      let of_row = statistics_of(i, lane);
      var weight = vec4f();
      for (var j = 0u; j < 4u; j++) { if (has(mask, i, j)) { weight[j] = weight_of(score_of(dots[i][j]), of_row); } }
      weights[(lane / 8u + 8u * i) * STRIDE + lane % 8u] = weight;
    }
    add_results(lane, vec4f(1.0), &result);`)}`,
};

const shaders = variants((variant: string): Shader => {
  const [pass, size] = JSON.parse(variant) as readonly [Pass, number];
  const even = size % 4 === 0;
  const heads = readBy[pass];
  const reads: Record<string, DType> = Object.assign({}, ...heads.map((name) => packedReads("f32", name)), tableReads);
  return {
    name: `attention-grad-${pass}`,
    reads: pass === "rows" ? reads : { ...reads, rows: "f32" },
    writes: { result: "f32" },
    params: { ...attentionParams, tiles: "u32" },
    lanes: LANES,
    code: `
${heads.map((name) => fours(name, "f32", even)).join("")}
${tiles(size)}${heads.map(ofTile).join("")}${pass === "rows" ? "" : putter("result", even)}
${product("scores", "q", "k")}
${bodies[pass]}`,
  };
});

export const attentionGrad =
  (engine: Engine): Kernels["attentionGrad"] =>
  ([q, k, v, queries, keys, y, dy], [dq, dk, dv], attrs: AttentionAttrs) => {
    if (isPackedView(k) || isPackedView(v)) return DECLINED;
    const [batches, tokens, heads, size] = q.shape;
    const [, kvHeads] = k.shape;
    const keyRows = keys.shape[1];
    const views: Readonly<Record<string, View>> = { q, k, v, y, dy };
    const rows = engine.scratch("f32", batches * tokens * heads, 4);
    const byKeyRow = engine.scratch("f32", batches, keyRows, kvHeads, size);
    const rowTiles = Math.ceil((tokens * heads) / kvHeads / TILE);
    const keyTiles = Math.ceil(keyRows / TILE);
    const viewsOf = (pass: Pass, to: View): readonly View[] => {
      const read = [...readBy[pass].map((name) => views[name]), queries, keys];
      return pass === "rows" ? [...read, to] : [...read, rows, to];
    };
    const run = (pass: Pass, to: View, count: number): void => {
      const numbers = [...attentionNumbers([q, k, v, queries, keys], attrs), count];
      if (size > 0)
        engine.dispatch(shaders(JSON.stringify([pass, size])), viewsOf(pass, to), numbers, batches * kvHeads * count);
    };
    const passes = [viewsOf("rows", rows), viewsOf("q", dq ?? q), viewsOf("k", byKeyRow), viewsOf("v", byKeyRow)];
    if (passes.some((bound) => engine.bindings(...bound) > MAX_WINDOWS)) return DECLINED;
    run("rows", rows, rowTiles);
    if (dq !== undefined) run("q", dq, rowTiles);
    for (const [pass, pool] of [["k", dk] as const, ["v", dv] as const]) {
      if (pool === undefined) continue;
      run(pass, byKeyRow, keyTiles);
      sumBySlot(engine, byKeyRow, keys, pool);
    }
    return undefined;
  };
