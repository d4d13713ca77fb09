// Scales by least squares: candidates around the scale that the extremes suggest, each refitted to the codes that it leads to; the one with the
// least sum of squared errors is kept. Where a reference quantizer weighs large numbers more, this minimises the plain error.
import { extreme } from "./blocks.js";

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
export function fitAffine(x: Float32Array, from: number, to: number, top: number): AffineFit {
  let [low, high, sum] = [0, -Infinity, 0];
  for (let i = from; i < to; i++) {
    low = Math.min(low, x[i]);
    high = Math.max(high, x[i]);
    sum += x[i];
  }
  let best: AffineFit = { scale: (high - low) / top, low };
  if (best.scale === 0) return best;
  let most = -Infinity;
  for (let step = -TRIES; step <= TRIES; step++) {
    const { fit, explained } = refitAffine(x, from, to, top, { scale: (high - low) / (top + STEP * step), low }, sum);
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
  sum: number,
): { readonly fit: AffineFit; readonly explained: number } {
  const count = to - from;
  const inverse = 1 / scale;
  let [codes, squares, products] = [0, 0, 0];
  for (let i = from; i < to; i++) {
    const code = Math.min(Math.floor((x[i] - low) * inverse + 0.5), top); // at least 0, since no number is below low
    codes += code;
    squares += code * code;
    products += x[i] * code;
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
): number {
  const end = extreme(x, from, to);
  if (end === 0) return 0;
  let best = 0;
  let most = 0;
  for (const side of ends) {
    for (let step = -TRIES; step <= TRIES; step++) {
      const { scale, explained } = refitScale(x, from, to, end / (side * (1 + (REACH * step) / TRIES)), round);
      if (explained <= most) continue;
      most = explained;
      best = scale;
    }
  }
  return best;
}

/** The best scale for the codes that a scale leads to, and by how much it lessens the sum of squares. */
function refitScale(
  x: Float32Array,
  from: number,
  to: number,
  scale: number,
  round: Rounding,
): { readonly scale: number; readonly explained: number } {
  const inverse = 1 / scale;
  let [products, squares] = [0, 0];
  for (let i = from; i < to; i++) {
    const number = round(x[i] * inverse);
    products += x[i] * number;
    squares += number * number;
  }
  return squares === 0 ? { scale: 0, explained: 0 } : { scale: products / squares, explained: products ** 2 / squares };
}
