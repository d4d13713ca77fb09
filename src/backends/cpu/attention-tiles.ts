// Attention in tiles of query rows, so that its products go through the register blocks of product.ts; attention and its gradient share
// them. A tile holds some tokens of one batch row and the query heads that read one kv head: rows (token, head of the group).
import type { Matrix, View } from "../../core/view.js";
import type { AttentionAttrs } from "../backend.js";
import { product, transposed } from "./product.js";
import { MatrixRows, floats, ints } from "./read.js";
import { gatherPool, keyRange, slotsOf, visibleKeys, type KeyRange } from "./visibility.js";

/** Tokens of a tile, and the largest number of scores in one. */
const MAX_TOKENS = 32;
const MAX_SCORES = 2 ** 20;

export interface Tile {
  readonly rows: number;
  /** Key rows from the first to the last that a token of the tile sees. */
  readonly keys: number;
  /** Rows of q, f32 [rows, d]. */
  readonly q: Float32Array;
  /** Keys and values, f32 [keys, d] from `at` on. */
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly at: number;
  /** Where each key lies in the pools: its slot, and the kv head. */
  readonly slots: Int32Array;
  readonly kvHead: number;
  /** Capped scores, f64 [rows, keys]; those of invisible keys mean nothing. */
  readonly scores: Float64Array;
  /** Softmax of the scores over what each row sees, rounded to f32 as the left side of a product, [rows, keys]; 0 elsewhere. */
  readonly p: Float32Array;
  /** The tile's rows of something shaped like q. */
  gather(x: Float32Array): Float32Array<ArrayBuffer>;
  /** Writes the tile's rows back. */
  spread(rows: Float32Array, x: Float32Array): void;
}

type Inputs = readonly [q: View, k: Matrix, v: Matrix, queries: View, keys: View];

/** Calls `visit` with each tile in turn: every row of q lies in one tile. */
export function forEachTile(
  [q, k, v, queries, keys]: Inputs,
  attrs: AttentionAttrs,
  visit: (tile: Tile) => void,
): void {
  const [batches, tokens, heads, size] = q.shape;
  const [poolSlots, kvHeads] = k.shape;
  const keyRows = keys.shape[1];
  const group = heads / kvHeads;
  const from = floats(q);
  const queryTable = ints(queries);
  const keyTable = ints(keys);
  const kPool = new MatrixRows(k);
  const vPool = new MatrixRows(v);
  for (let batch = 0; batch < batches; batch++) {
    const range = keyRange(queryTable, batch, tokens, keyRows);
    const slots = slotsOf(keyTable, batch, keyRows, range);
    const kPanel = gatherPool(kPool, poolSlots, kvHeads, slots); // [Hkv, range, d]
    const vPanel = gatherPool(vPool, poolSlots, kvHeads, slots);
    const step = Math.max(1, Math.min(MAX_TOKENS, Math.floor(MAX_SCORES / (group * range.count || 1))));
    for (let token = 0; token < tokens; token += step) {
      const count = Math.min(step, tokens - token);
      const query = batch * tokens + token;
      const seen = seenBy(queryTable, query, count, keyTable, batch, keyRows, range, attrs);
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        const place = {
          first: (query * heads + kvHead * group) * size,
          stride: heads * size,
          count,
          width: group * size,
        };
        const rows = count * group;
        const at = (kvHead * range.count + seen.first) * size;
        const qRows = gatherPlaces(from, place);
        const scores = new Float64Array(rows * seen.keys);
        product(qRows, 0, kPanel, at, undefined, 0, scores, 0, seen.keys, rows, seen.keys, size);
        capScores(scores, attrs);
        visit({
          rows,
          keys: seen.keys,
          q: qRows,
          k: kPanel,
          v: vPanel,
          at,
          slots: slots.subarray(seen.first, seen.first + seen.keys),
          kvHead,
          scores,
          p: probabilities(scores, seen, group),
          gather: (x) => gatherPlaces(x, place),
          spread: (x, to) => {
            spreadPlaces(x, place, to);
          },
        });
      }
    }
  }
}

/** What the tokens of a tile see: key rows visible[starts[t] .. starts[t + 1]) for token t, counted from `first`. */
interface Seen {
  readonly first: number;
  readonly keys: number;
  readonly visible: Int32Array;
  readonly starts: Int32Array;
}

function seenBy(
  queryTable: Int32Array,
  query: number,
  count: number,
  keyTable: Int32Array,
  batch: number,
  keyRows: number,
  range: KeyRange,
  attrs: AttentionAttrs,
): Seen {
  const visible = new Int32Array(count * range.count);
  const starts = new Int32Array(count + 1);
  let first = range.count;
  let last = 0;
  for (let t = 0; t < count; t++) {
    const start = starts[t];
    const end = visibleKeys(queryTable, query + t, keyTable, batch, keyRows, range, attrs, visible, start);
    starts[t + 1] = end;
    if (end === start) continue;
    first = Math.min(first, visible[start]);
    last = Math.max(last, visible[end - 1] + 1);
  }
  const all = starts[count];
  for (let i = 0; i < all; i++) visible[i] -= first;
  return { first: all === 0 ? 0 : first, keys: all === 0 ? 0 : last - first, visible, starts };
}

/** scale * s, then softcap * tanh(s / softcap) unless softcap is 0. */
function capScores(scores: Float64Array, { scale, softcap }: AttentionAttrs): void {
  for (let i = 0; i < scores.length; i++) scores[i] *= scale;
  if (softcap === 0) return;
  for (let i = 0; i < scores.length; i++) scores[i] = softcap * Math.tanh(scores[i] / softcap);
}

function probabilities(
  scores: Float64Array,
  { keys, visible, starts }: Seen,
  group: number,
): Float32Array<ArrayBuffer> {
  const p = new Float32Array(scores.length);
  const exps = new Float64Array(keys);
  for (let row = 0; row * keys < scores.length; row++) {
    const at = row * keys;
    const token = Math.floor(row / group);
    const begin = starts[token];
    const end = starts[token + 1];
    let max = -Infinity;
    for (let j = begin; j < end; j++) max = Math.max(max, scores[at + visible[j]]);
    let sum = 0;
    for (let j = begin; j < end; j++) {
      const e = Math.exp(scores[at + visible[j]] - max);
      exps[j - begin] = e;
      sum += e;
    }
    for (let j = begin; j < end; j++) p[at + visible[j]] = exps[j - begin] / sum;
  }
  return p;
}

/**
 * out[r] = sum over j of factors[r, j] * x[j], for rows x[j] of `size` numbers from `at` on. Where a factor is 0 the row does not count,
 * whatever it holds: a key that is not seen changes nothing, even if it is NaN.
 */
export function weightedRows(
  factors: Float32Array,
  rows: number,
  x: Float32Array,
  at: number,
  count: number,
  size: number,
  out: Float32Array | Float64Array,
): void {
  if (allFinite(x, at, count * size)) {
    product(factors, 0, transposed(x, at, count, size), 0, undefined, 0, out, 0, size, rows, size, count);
    return;
  }
  const sums = new Float64Array(size);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let j = 0; j < count; j++) {
      const factor = factors[r * count + j];
      if (factor === 0) continue;
      for (let i = 0; i < size; i++) sums[i] += factor * x[at + j * size + i];
    }
    out.set(sums, r * size);
  }
}

function allFinite(x: Float32Array, at: number, length: number): boolean {
  let zero = 0;
  for (let i = at; i < at + length; i++) zero += x[i] * 0;
  return zero === 0;
}

/** `count` pieces of `width` numbers, `stride` apart. */
interface Places {
  readonly first: number;
  readonly stride: number;
  readonly count: number;
  readonly width: number;
}

function gatherPlaces(x: Float32Array, { first, stride, count, width }: Places): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(count * width);
  for (let t = 0; t < count; t++) {
    for (let i = 0; i < width; i++) rows[t * width + i] = x[first + t * stride + i];
  }
  return rows;
}

function spreadPlaces(rows: Float32Array, { first, stride, count, width }: Places, x: Float32Array): void {
  for (let t = 0; t < count; t++) {
    for (let i = 0; i < width; i++) x[first + t * stride + i] = rows[t * width + i];
  }
}
