// y = softmax(scores) V for each query head over the keys that the tables let it see; a row with no visible key gives 0.
import type { Kernel } from "../../backend.js";
import { MatrixRows, floats, ints } from "../read.js";
import { addRows, scoreKeys, softmaxInPlace } from "../scores.js";
import { gatherPool, keyRange, slotsOf, visibleKeys } from "../visibility.js";

export const attention: Kernel<"attention", void> = ([q, k, v, queries, keys], [y], attrs) => {
  const [batches, tokens, heads, size] = q.shape;
  const [poolSlots, kvHeads] = k.shape;
  const keyRows = keys.shape[1];
  const from = floats(q);
  const to = floats(y);
  const queryTable = ints(queries);
  const keyTable = ints(keys);
  const kPool = new MatrixRows(k);
  const vPool = new MatrixRows(v);
  const visible = new Int32Array(keyRows);
  const scores = new Float64Array(keyRows);
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
        const panelAt = Math.floor((head * kvHeads) / heads) * range.count * size;
        scoreKeys(from, at, kPanel, panelAt, size, visible, count, attrs.scale, attrs.softcap, scores);
        softmaxInPlace(scores, count);
        sums.fill(0);
        addRows(scores, vPanel, panelAt, size, visible, count, sums);
        for (let i = 0; i < size; i++) to[at + i] = sums[i];
      }
    }
  }
};
