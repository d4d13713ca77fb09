// y = softmax(scores) V over the keys that each query sees. The host reads the tables, which are integers, and gathers the rows of the pools.
import type { View } from "../../../core/view.js";
import type { AttentionAttrs } from "../../backend.js";
import { MatrixRows, ints } from "../../cpu/read.js";
import { gatherPool, keyRange, slotsOf, visibleKeys, type KeyRange } from "../../cpu/visibility.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { readableMatrix } from "../host.js";
import { variants, type Program } from "../program.js";
import { softmaxRows } from "./softmax.js";

/** Where the panel of the query head's kv head begins, [Hkv, keys, d]: in whole numbers, by counting. */
const panelOf = (panel: string): string => `let first = ${panel}At;
for (let j = 1; j < kvHeads; j++) { if (j * group <= this.thread.y) { first = ${panel}At + j * keys * size; } }`;

const scores = variants((cap: "plain" | "capped"): Program => ({
  name: `scores-${cap}`,
  reads: ["q", "k", "seen"],
  numbers: {
    heads: "Integer",
    kvHeads: "Integer",
    group: "Integer",
    keys: "Integer",
    size: "Integer",
    scale: "Float",
    softcap: "Float",
  },
  body: `if (seen[seenAt + this.thread.z * keys + this.thread.x] < 0.5) { return -3.0e38; }
${panelOf("k")}
const row = qAt + (this.thread.z * heads + this.thread.y) * size;
const key = first + this.thread.x * size;
let total = 0.0;
for (let i = 0; i < size; i++) { total += q[row + i] * k[key + i]; }
const score = total * scale;
return ${cap === "capped" ? "softcap * Math.tanh(Math.max(-20.0, Math.min(20.0, score / softcap)))" : "score"};`,
}));

const mixed: Program = {
  name: "mixed-values",
  reads: ["p", "v", "seen"],
  numbers: { heads: "Integer", kvHeads: "Integer", group: "Integer", keys: "Integer", size: "Integer" },
  body: `${panelOf("v")}
const row = pAt + (this.thread.z * heads + this.thread.y) * keys;
let total = 0.0;
for (let s = 0; s < keys; s++) {
  if (seen[seenAt + this.thread.z * keys + s] > 0.5) { total += p[row + s] * v[first + s * size + this.thread.x]; }
}
return total;`,
};

export const attention: GpuKernel<"attention"> = (engine, [q, k, v, queries, keys], [y], attrs) => {
  const obstacle = engine.obstacle(q, y);
  if (obstacle !== undefined) return obstacle;
  const [batches, tokens, heads, size] = q.shape;
  if (tokens === 1) return "a single query, for which all keys would travel";
  const { memory } = engine;
  const queryTable = ints(memory.readable(queries));
  const keyTable = ints(memory.readable(keys));
  const keyRows = keys.shape[1];
  const ranges = Array.from({ length: batches }, (_, batch) => keyRange(queryTable, batch, tokens, keyRows));
  if (ranges.some(({ count }) => count === 0)) return "a batch row that sees nothing";
  const pools = [k, v].map((pool) => new MatrixRows(readableMatrix(memory, pool)));
  const [poolSlots, kvHeads] = k.shape;
  const numbers = [heads, kvHeads, heads / kvHeads];
  ranges.forEach((range, batch) => {
    const slots = slotsOf(keyTable, batch, keyRows, range);
    const panels = pools.map((pool) => gatherPool(pool, poolSlots, kvHeads, slots));
    const mask = seenBy(queryTable, tokens, keyTable, batch, keyRows, range, attrs);
    using kPanel = memory.scratch(panels[0].length, panels[0]);
    using vPanel = memory.scratch(panels[1].length, panels[1]);
    using seen = memory.scratch(mask.length, mask);
    const rows = tokens * heads;
    using score = memory.scratch(rows * range.count);
    using p = memory.scratch(rows * range.count);
    const own = (of: View): View => ({ ...of, shape: [rows, size], offset: of.offset + batch * rows * size });
    const { scale, softcap } = attrs;
    const program = scores(softcap === 0 ? "plain" : "capped");
    const places = [...numbers, range.count, size];
    engine.run(program, [range.count, heads, tokens], [own(q), kPanel, seen], [...places, scale, softcap], score);
    softmaxRows(engine, score, rows, range.count, p);
    engine.run(mixed, [size, heads, tokens], [p, vPanel, seen], places, own(y));
  });
  return undefined;
};

/** 1 where a query sees a key, [T, keys]. */
function seenBy(
  queries: Int32Array,
  tokens: number,
  keys: Int32Array,
  batch: number,
  keyRows: number,
  range: KeyRange,
  attrs: AttentionAttrs,
): Float32Array<ArrayBuffer> {
  const seen = new Float32Array(tokens * range.count);
  const visible = new Int32Array(range.count);
  for (let t = 0; t < tokens; t++) {
    const end = visibleKeys(queries, batch * tokens + t, keys, batch, keyRows, range, attrs, visible, 0);
    for (const key of visible.subarray(0, end)) seen[t * range.count + key] = 1;
  }
  return seen;
}
