// Gradients of attention, with the probabilities p made again: dv = p^T dy; with dp = dy v^T and ds = p (dp - dy . y), times
// 1 - (s / softcap)^2 where scores are capped: dq = scale * ds k, dk = scale * ds^T q. Sums run over queries, over the query heads that
// share a kv head, and over batch rows that share a slot; a slot that nobody sees gets 0.
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { AttentionAttrs, Kernel } from "../../backend.js";
import { forEachTile, weightedRows, type Tile } from "../attention-tiles.js";
import { dot, product, transposed } from "../product.js";
import { floats } from "../read.js";

export const attentionGrad: Kernel<"attentionGrad", void> = ([q, k, v, queries, keys, y, dy], [dq, dk, dv], attrs) => {
  const size = q.shape[3];
  const result = floats(y);
  const dResult = floats(dy);
  const dQuery = dq === undefined ? undefined : floats(dq);
  const dKeys = dk === undefined ? undefined : new PoolSums(dk);
  const dValues = dv === undefined ? undefined : new PoolSums(dv);
  forEachTile([q, k, v, queries, keys], attrs, (tile) => {
    const dRows = tile.gather(dResult);
    dValues?.add(tile, tile.p, dRows);
    if (dQuery === undefined && dKeys === undefined) return;
    const dScores = scoreGradients(tile, tile.gather(result), dRows, size, attrs);
    dKeys?.add(tile, dScores, tile.q);
    if (dQuery === undefined) return;
    const rows = new Float32Array(tile.rows * size);
    weightedRows(dScores, tile.rows, tile.k, tile.at, tile.keys, size, rows);
    tile.spread(rows, dQuery);
  });
  dKeys?.store();
  dValues?.store();
};

/** How the loss moves with each q . k, f32 [rows, keys]; 0 where a key is not seen, since p is. */
function scoreGradients(
  { rows, keys, v, at, p, scores }: Tile,
  y: Float32Array,
  dy: Float32Array,
  size: number,
  { scale, softcap }: AttentionAttrs,
): Float32Array<ArrayBuffer> {
  const dp = new Float64Array(rows * keys);
  product(dy, 0, v, at, undefined, 0, dp, 0, keys, rows, keys, size);
  const out = new Float32Array(rows * keys);
  for (let row = 0; row < rows; row++) {
    const mean = dot(dy, row * size, y, row * size, size);
    for (let i = row * keys; i < (row + 1) * keys; i++) {
      const tanh = softcap === 0 ? 0 : scores[i] / softcap;
      out[i] = p[i] === 0 ? 0 : p[i] * (dp[i] - mean) * scale * (1 - tanh * tanh);
    }
  }
  return out;
}

/** The gradient of a pool [N, Hkv, d], summed in f64 until it is complete. */
class PoolSums {
  readonly #view: View;
  readonly #sums: Float64Array;

  constructor(view: View) {
    this.#view = view;
    this.#sums = new Float64Array(sizeOf(view.shape));
  }

  /** Adds factors^T x, f32 [rows, keys]^T [rows, d], to the slots of the tile's keys. */
  add({ rows, keys, slots, kvHead }: Tile, factors: Float32Array, x: Float32Array): void {
    const [poolSlots, kvHeads, size] = this.#view.shape;
    const sums = this.#sums;
    const part = new Float64Array(keys * size);
    weightedRows(transposed(factors, 0, rows, keys), keys, x, 0, rows, size, part);
    for (let j = 0; j < keys; j++) {
      const slot = slots[j];
      if (slot < 0 || slot >= poolSlots) continue;
      const to = (slot * kvHeads + kvHead) * size;
      for (let i = 0; i < size; i++) sums[to + i] += part[j * size + i];
    }
  }

  store(): void {
    floats(this.#view).set(this.#sums);
  }
}
