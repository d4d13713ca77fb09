// Scales by least squares: candidates around the scale that the extremes suggest, each refitted to the codes that it leads to; the one with the
// least weighted sum of squared errors is kept. Weights stand at i - from for number i.
import { extreme } from "./blocks.js";

/** How a maker's schemes choose their scales: by the greatest magnitude (or range), or by a search for the least sum of squared errors. */
export type Scales = "absmax" | "leastSquares";

/** x = scale * code + low, codes 0..top. */
export interface AffineFit {
  readonly scale: number;
  /** At most 0. */
  readonly low: number;
}

/** Tries to each side of the scale that takes the extremes to the ends of the codes, and how far apart: parts of a code. */
const TRIES = 8;
const STEP = 0.125;

/** Scale and offset of x[from..to) with codes 0..top, where offsets are at most 0. All numbers must be finite. */
export function fitAffine(x: Float32Array, from: number, to: number, top: number, weights: Float32Array): AffineFit {
  let [low, high, count, sum] = [0, -Infinity, 0, 0];
  for (let i = from; i < to; i++) {
    low = Math.min(low, x[i]);
    high = Math.max(high, x[i]);
    count += weights[i - from];
    sum += weights[i - from] * x[i];
  }
  let best: AffineFit = { scale: (high - low) / top, low };
  if (best.scale === 0) return best;
  let most = -Infinity;
  for (let step = -TRIES; step <= TRIES; step++) {
    const given = { scale: (high - low) / (top + STEP * step), low };
    const { fit, explained } = refitAffine(x, from, to, top, given, weights, count, sum);
    if (explained <= most) continue;
    most = explained;
    best = fit;
  }
  return best;
}

/** The best scale and offset for the codes that a fit leads to, and by how much they lessen the sum of squares. */
function refitAffine(
  x: Float32Array,
  from: number,
  to: number,
  top: number,
  { scale, low }: AffineFit,
  weights: Float32Array,
  count: number,
  sum: number,
): { readonly fit: AffineFit; readonly explained: number } {
  const inverse = 1 / scale;
  let [codes, squares, products] = [0, 0, 0];
  for (let i = from; i < to; i++) {
    const code = Math.min(Math.floor((x[i] - low) * inverse + 0.5), top); // at least 0, since no number is below low
    const weighed = weights[i - from] * code;
    codes += weighed;
    squares += weighed * code;
    products += weighed * x[i];
  }
  const spread = count * squares - codes * codes;
  const slope = spread > 0 ? (count * products - codes * sum) / spread : 0;
  const offset = (sum - slope * codes) / count;
  if (slope > 0 && offset <= 0)
    return { fit: { scale: slope, low: offset }, explained: slope * products + offset * sum };
  // Without an offset.
  const factor = squares === 0 ? 0 : Math.max(products / squares, 0);
  return { fit: { scale: factor, low: 0 }, explained: factor * products };
}

/** How far the tries go from the scale that takes the extreme to an end. */
const REACH = 0.2;

/** A code's number for a scaled one, such as the nearest integer in a range. */
export type Rounding = (scaled: number) => number;

/**
 * The scale of x[from..to) whose codes stand for the numbers that `round` gives, between two ends of both signs. It may be negative: then the
 * longer side of the codes is that of the positive numbers. All numbers must be finite.
 */
export function fitScale(
  x: Float32Array,
  from: number,
  to: number,
  { ends, round }: { readonly ends: readonly [least: number, most: number]; readonly round: Rounding },
  weights: Float32Array,
): number {
  const end = extreme(x, from, to);
  if (end === 0) return 0;
  const tries: Try[] = [];
  for (const side of ends)
    for (let step = -TRIES; step <= TRIES; step++)
      tries.push({ scale: end / (side * (1 + (REACH * step) / TRIES)), round });
  return bestOf(x, from, to, tries, weights)?.scale ?? 0;
}

/** A scale, and the numbers that codes stand for under it. */
export interface Try {
  readonly scale: number;
  readonly round: Rounding;
}

/** The try whose codes, under the scale that suits them best, lessen the sum of squares most, with that scale; undefined if none does. */
function bestOf<T extends Try>(
  x: Float32Array,
  from: number,
  to: number,
  tries: readonly T[],
  weights: Float32Array,
): T | undefined {
  let best: T | undefined;
  let most = 0;
  for (const each of tries) {
    const inverse = 1 / each.scale;
    let [products, squares] = [0, 0];
    for (let i = from; i < to; i++) {
      const number = each.round(x[i] * inverse);
      const weighed = weights[i - from] * number;
      products += weighed * x[i];
      squares += weighed * number;
    }
    const explained = squares === 0 ? 0 : products ** 2 / squares;
    if (explained <= most) continue;
    most = explained;
    best = { ...each, scale: products / squares };
  }
  return best;
}

/** Parts of the scale by the extremes: beyond it too, and far below, where outliers that weigh little are cut off. */
const PARTS: readonly number[] = /* @__PURE__ */ Array.from({ length: 16 }, (_, step) => 2 ** ((2 - step) / 8));

/**
 * The better of what the simple rule gives (`usual`, under its scale as it is stored) and of the best that lies around it, stored as well:
 * never a greater weighted sum of squared errors, computed as decoding computes.
 *
 * @param around tries under a part of the scale that the simple rule gives @param stored scale -> as it is stored; NaN if it cannot be
 */
export function fitStored<T extends Try>(
  x: Float32Array,
  [from, to]: readonly [from: number, to: number],
  usual: T,
  around: (part: number) => readonly T[],
  stored: (scale: number) => number,
  weights: Float32Array,
): T {
  const best = bestOf(x, from, to, PARTS.flatMap(around), weights);
  if (!best) return usual;
  const found = { ...best, scale: stored(best.scale) };
  const better = found.scale > 0 && squaredError(x, from, to, found, weights) < squaredError(x, from, to, usual, weights); // prettier-ignore
  return better ? found : usual;
}

function squaredError(x: Float32Array, from: number, to: number, { scale, round }: Try, weights: Float32Array): number {
  let error = 0;
  for (let i = from; i < to; i++)
    error += weights[i - from] * (Math.fround(round(Math.fround(x[i] / scale)) * scale) - x[i]) ** 2;
  return error;
}
