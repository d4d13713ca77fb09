// Gradients of attention, with the probabilities p made again: dv_j += p_j dy; with dp_j = dy . v_j and ds_j = p_j (dp_j - dy . y)
// (times 1 - (s_j / softcap)^2 where scores are capped): dq += scale * ds_j k_j, dk_j += scale * ds_j q. Sums run over queries, over the
// query heads that share a kv head, and over batch rows that share a slot; a slot that nobody sees gets 0.
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { dot } from "../product.js";
import { MatrixRows, floats, ints } from "../read.js";
import { addRows, dotKeys, scoreKeys, softmaxInPlace } from "../scores.js";
import { gatherPool, keyRange, slotsOf, visibleKeys } from "../visibility.js";

export const attentionGrad: Kernel<"attentionGrad", void> = ([q, k, v, queries, keys, y, dy], [dq, dk, dv], attrs) => {
  const { scale, softcap } = attrs;
  const [batches, tokens, heads, size] = q.shape;
  const [poolSlots, kvHeads] = k.shape;
  const keyRows = keys.shape[1];
  const from = floats(q);
  const dOut = floats(dy);
  const result = floats(y);
  const dQuery = dq === undefined ? undefined : floats(dq);
  const dKeys = dk === undefined ? undefined : new Float64Array(sizeOf(dk.shape));
  const dValues = dv === undefined ? undefined : new Float64Array(sizeOf(dv.shape));
  const queryTable = ints(queries);
  const keyTable = ints(keys);
  const kPool = new MatrixRows(k);
  const vPool = new MatrixRows(v);
  const visible = new Int32Array(keyRows);
  const scores = new Float64Array(keyRows);
  const slopes = new Float64Array(keyRows);
  const dScores = new Float64Array(keyRows);
  const sums = new Float64Array(size);
  for (let batch = 0; batch < batches; batch++) {
    const range = keyRange(queryTable, batch, tokens, keyRows);
    const slots = slotsOf(keyTable, batch, keyRows, range);
    const kPanel = gatherPool(kPool, poolSlots, kvHeads, slots);
    const vPanel = gatherPool(vPool, poolSlots, kvHeads, slots);
    for (let query = batch * tokens; query < (batch + 1) * tokens; query++) {
      const count = visibleKeys(queryTable, query, keyTable, batch, keyRows, range, attrs, visible);
      for (let head = 0; head < heads; head++) {
        const at = (query * heads + head) * size;
        const kvHead = Math.floor((head * kvHeads) / heads);
        const panelAt = kvHead * range.count * size;
        scoreKeys(from, at, kPanel, panelAt, size, visible, count, scale, softcap, scores);
        capSlopes(scores, count, softcap, scale, slopes);
        softmaxInPlace(scores, count);
        if (dValues !== undefined) {
          addToSlots(scores, dOut, at, size, visible, count, slots, poolSlots, kvHeads, kvHead, dValues);
        }
        if (dQuery === undefined && dKeys === undefined) continue;
        dotKeys(dOut, at, vPanel, panelAt, size, visible, count, dScores);
        const mean = dot(dOut, at, result, at, size);
        for (let j = 0; j < count; j++) dScores[j] = scores[j] * (dScores[j] - mean) * slopes[j];
        if (dKeys !== undefined) {
          addToSlots(dScores, from, at, size, visible, count, slots, poolSlots, kvHeads, kvHead, dKeys);
        }
        if (dQuery !== undefined) {
          sums.fill(0);
          addRows(dScores, kPanel, panelAt, size, visible, count, sums);
          for (let i = 0; i < size; i++) dQuery[at + i] = sums[i];
        }
      }
    }
  }
  store(dKeys, dk);
  store(dValues, dv);
};

/** How fast each capped score moves with q . k: scale * (1 - tanh^2). */
function capSlopes(scores: Float64Array, count: number, softcap: number, scale: number, slopes: Float64Array): void {
  for (let j = 0; j < count; j++) {
    const tanh = softcap === 0 ? 0 : scores[j] / softcap;
    slopes[j] = scale * (1 - tanh * tanh);
  }
}

/** sums at the slot of visible[j] += factors[j] * x[at..at + size). */
function addToSlots(
  factors: Float64Array,
  x: Float32Array,
  at: number,
  size: number,
  visible: Int32Array,
  count: number,
  slots: Int32Array,
  poolSlots: number,
  kvHeads: number,
  kvHead: number,
  sums: Float64Array,
): void {
  for (let j = 0; j < count; j++) {
    const slot = slots[visible[j]];
    if (slot < 0 || slot >= poolSlots) continue;
    const to = (slot * kvHeads + kvHead) * size;
    const factor = factors[j];
    for (let i = 0; i < size; i++) sums[to + i] += factor * x[at + i];
  }
}

function store(sums: Float64Array | undefined, view: View | undefined): void {
  if (sums !== undefined && view !== undefined) floats(view).set(sums);
}
