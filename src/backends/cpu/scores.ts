// Scores of one query head against the keys it sees, and their softmax; attention and its gradient share them.

/**
 * scores[j] = q . k of visible[j], times scale, then softcap * tanh(score / softcap) unless softcap is 0. All in f64; four keys at a time,
 * each sum in index order.
 */
export function scoreKeys(
  q: Float32Array,
  qAt: number,
  panel: Float32Array,
  panelAt: number,
  size: number,
  visible: Int32Array,
  count: number,
  scale: number,
  softcap: number,
  scores: Float64Array,
): void {
  dotKeys(q, qAt, panel, panelAt, size, visible, count, scores);
  for (let j = 0; j < count; j++) scores[j] *= scale;
  if (softcap === 0) return;
  for (let j = 0; j < count; j++) scores[j] = softcap * Math.tanh(scores[j] / softcap);
}

/** out[j] = x . row visible[j] of the panel. */
export function dotKeys(
  x: Float32Array,
  xAt: number,
  panel: Float32Array,
  panelAt: number,
  size: number,
  visible: Int32Array,
  count: number,
  out: Float64Array,
): void {
  const full = count - (count % 4);
  for (let j = 0; j < full; j += 4) {
    const r0 = panelAt + visible[j] * size;
    const r1 = panelAt + visible[j + 1] * size;
    const r2 = panelAt + visible[j + 2] * size;
    const r3 = panelAt + visible[j + 3] * size;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    for (let i = 0; i < size; i++) {
      const a = x[xAt + i];
      s0 += a * panel[r0 + i];
      s1 += a * panel[r1 + i];
      s2 += a * panel[r2 + i];
      s3 += a * panel[r3 + i];
    }
    out[j] = s0;
    out[j + 1] = s1;
    out[j + 2] = s2;
    out[j + 3] = s3;
  }
  for (let j = full; j < count; j++) {
    const row = panelAt + visible[j] * size;
    let sum = 0;
    for (let i = 0; i < size; i++) sum += x[xAt + i] * panel[row + i];
    out[j] = sum;
  }
}

/** sums[i] += factors[j] * panel row visible[j], in the order of j. */
export function addRows(
  factors: Float64Array,
  panel: Float32Array,
  panelAt: number,
  size: number,
  visible: Int32Array,
  count: number,
  sums: Float64Array,
): void {
  const full = count - (count % 4);
  for (let j = 0; j < full; j += 4) {
    const f0 = factors[j];
    const f1 = factors[j + 1];
    const f2 = factors[j + 2];
    const f3 = factors[j + 3];
    const r0 = panelAt + visible[j] * size;
    const r1 = panelAt + visible[j + 1] * size;
    const r2 = panelAt + visible[j + 2] * size;
    const r3 = panelAt + visible[j + 3] * size;
    for (let i = 0; i < size; i++) {
      sums[i] = sums[i] + f0 * panel[r0 + i] + f1 * panel[r1 + i] + f2 * panel[r2 + i] + f3 * panel[r3 + i];
    }
  }
  for (let j = full; j < count; j++) {
    const factor = factors[j];
    const row = panelAt + visible[j] * size;
    for (let i = 0; i < size; i++) sums[i] += factor * panel[row + i];
  }
}

/** Turns scores into probabilities in place. */
export function softmaxInPlace(scores: Float64Array, count: number): void {
  let max = -Infinity;
  for (let j = 0; j < count; j++) max = Math.max(max, scores[j]);
  let sum = 0;
  for (let j = 0; j < count; j++) {
    scores[j] = Math.exp(scores[j] - max);
    sum += scores[j];
  }
  for (let j = 0; j < count; j++) scores[j] /= sum;
}
