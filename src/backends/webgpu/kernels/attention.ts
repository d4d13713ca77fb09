// y = softmax(scores) v over the keys that a row sees. Few rows go another way (attention-split.ts); many by tiles, that of a kv head's rows
// with one tile of keys after the other, and tiles in which nobody sees anybody are passed over.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type View } from "../../../core/view.js";
import { DECLINED, type AttentionAttrs, type Kernels } from "../../backend.js";
import {
  attentionNumbers,
  attentionParams,
  attentionReads,
  formatOf,
  fours,
  partsOf,
  putter,
  type AttentionInputs,
  type Formats,
} from "../attention-rows.js";
import { attendAlone } from "../attention-lanes.js";
import { attendFew, MAX_FEW_SIZE } from "../attention-split.js";
import { accumulation, LANES, ofTile, product, TILE, tiles } from "../attention-tiles.js";
import type { Engine } from "../engine.js";
import { ownFormats } from "../packed.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { variants, type Shader } from "../shader.js";

/** Rows of a kv head up to which keys are shared out instead. */
const FEW_ROWS = 32;

interface Tiled extends Formats {
  readonly size: number;
}

const shaders = variants((variant: string): Shader => {
  const { size, ...formats } = JSON.parse(variant) as Tiled;
  const { k, v, even } = formats;
  return {
    name: "attention",
    reads: attentionReads(formats),
    writes: { y: "f32" },
    params: { ...attentionParams, tiles: "u32" },
    lanes: LANES,
    code: `
${fours("q", "f32", even)}${fours("k", k, even)}${fours("v", v, even)}
${tiles(size)}${ofTile("q")}${ofTile("k")}${ofTile("v")}${putter("y", even)}
${product("scores", "q", "k")}
${accumulation("add_values", "v", "key_heads")}
var<workgroup> across: array<vec4f, LANES>;
var<workgroup> range: vec2u;

fn run(group: u32, lane: u32) {
  // The last tile first: where keys are causal it takes longest.
  let tile = params.tiles - 1u - group / (params.groups / params.tiles);
  let kv_head = group % params.kv_heads;
  let batch = group / params.kv_heads % (params.groups / (params.tiles * params.kv_heads));
  take_rows(batch, kv_head, tile * ${TILE}u, lane);
  workgroupBarrier();
  if (lane == 0u) { range = range_here(); }
  let key_rows = workgroupUniformLoad(&range);
  var result = Sums();
  var tops = vec4f(LEAST);
  // Of the lane's own keys.
  var totals = vec4f();
  for (var first = key_rows.x; first < key_rows.y; first += ${TILE}u) {
    take_keys(batch, kv_head, first, key_rows.y, lane);
    workgroupBarrier();
    let mask = mask_of(first, lane);
    if (!any_lane(lane, first + 1u, mask != 0u)) { continue; }
    var block = scores(lane);
    var best = tops;
    for (var i = 0u; i < 4u; i++) {
      for (var j = 0u; j < 4u; j++) {
        block[i][j] = score_of(block[i][j]);
        if (has(mask, i, j)) { best[i] = max(best[i], block[i][j]); }
      }
    }
    across[lane] = best;
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) { best = max(best, across[lane / 8u * 8u + i]); }
    var fade = vec4f();
    for (var i = 0u; i < 4u; i++) { fade[i] = lifted(tops[i], best[i]); }
    totals *= fade;
    for (var j = 0u; j < 4u; j++) {
      var weight = vec4f();
      for (var i = 0u; i < 4u; i++) { if (has(mask, i, j)) { weight[i] = lifted(block[i][j], best[i]); } }
      weights[(lane % 8u + 8u * j) * STRIDE + lane / 8u] = weight;
      totals += weight;
    }
    tops = best;
    add_values(lane, fade, &result);
  }
  across[lane] = totals;
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i < 8u; i++) { total += across[lane / 8u * 8u + i]; }
  for (var i = 0u; i < 4u; i++) {
    let head = row_heads[lane / 8u + 8u * i];
    if (head == NOWHERE) { continue; }
    for (var chunk = 0u; chunk < CHUNKS; chunk++) {
      let y = select(vec4f(), result[4u * chunk + i] / total[i], total[i] > 0.0);
      y_put(head, (chunk * 8u + lane % 8u) * 4u, y);
    }
  }
}`,
  };
});

function attendMany(engine: Engine, inputs: AttentionInputs, y: View, attrs: AttentionAttrs): void {
  const [q, k, v, queries, keys] = inputs;
  const [batches, tokens, heads, size] = q.shape;
  const kvHeads = k.shape[1];
  const tiled: Tiled = { k: formatOf(k), v: formatOf(v), even: size % 4 === 0, size };
  const count = Math.ceil((tokens * heads) / kvHeads / TILE);
  const views = [q, ...partsOf(k), ...partsOf(v), queries, keys, y];
  const numbers = [...attentionNumbers(inputs, attrs), count];
  engine.dispatch(shaders(JSON.stringify(tiled)), views, numbers, batches * kvHeads * count);
}

export const attention =
  (engine: Engine): Kernels["attention"] =>
  (inputs, [y], attrs) => {
    const [q, k, v, queries, keys] = inputs;
    // Pools of other formats are not written on a device.
    if ([k, v].some((pool) => isPackedView(pool) && !ownFormats.includes(pool.scheme))) return DECLINED;
    if (engine.bindings(q, ...partsOf(k), ...partsOf(v), queries, keys, y) > MAX_WINDOWS) return DECLINED;
    if (sizeOf(y.shape) === 0) return;
    const rows = (q.shape[1] * q.shape[2]) / k.shape[1];
    if (engine.abilities.emulated) attendAlone(engine, inputs, y, attrs);
    else if (rows <= FEW_ROWS && q.shape[3] <= MAX_FEW_SIZE) attendFew(engine, inputs, y, attrs);
    else attendMany(engine, inputs, y, attrs);
    return undefined;
  };
