// Scales by least squares: candidates around the scale that the extremes suggest, each refitted to the codes that it leads to; the one with the
// least sum of squared errors is kept. Where a reference quantizer weighs large numbers more, this minimises the plain error.
import { extreme, nearest } from "./blocks.js";

/** x = scale * code + low, codes 0..top. */
export interface AffineFit {
  readonly scale: number;
  /** At most 0. */
  readonly low: number;
}

/** How far the candidates' greatest code lies from the table's: ten tries to each side. */
const TRIES = 10;
const STEP = 0.1;

/** Scale and offset of x[from..to) with codes 0..top, where offsets are at most 0 and zero lies in the range. All numbers must be finite. */
export function fitAffine(x: Float32Array, from: number, to: number, top: number): AffineFit {
  let [low, high] = [0, 0];
  for (let i = from; i < to; i++) {
    low = Math.min(low, x[i]);
    high = Math.max(high, x[i]);
  }
  let best: AffineFit = { scale: (high - low) / top, low };
  if (best.scale === 0) return best;
  let least = affineError(x, from, to, top, best);
  for (let step = -TRIES; step <= TRIES; step++) {
    const fit = refitAffine(x, from, to, top, { scale: (high - low) / (top + STEP * step), low });
    const error = affineError(x, from, to, top, fit);
    if (error >= least) continue;
    least = error;
    best = fit;
  }
  return best;
}

/** The best scale and offset for the codes that a fit leads to. */
function refitAffine(x: Float32Array, from: number, to: number, top: number, { scale, low }: AffineFit): AffineFit {
  const count = to - from;
  let [codes, squares, sum, products] = [0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const code = nearest((x[i] - low) / scale, 0, top);
    codes += code;
    squares += code * code;
    sum += x[i];
    products += x[i] * code;
  }
  const spread = count * squares - codes * codes;
  if (spread <= 0) return { scale, low };
  const slope = (count * products - codes * sum) / spread;
  const offset = (sum - slope * codes) / count;
  if (offset <= 0) return { scale: Math.max(slope, 0), low: offset };
  return { scale: Math.max(products / squares, 0), low: 0 };
}

function affineError(x: Float32Array, from: number, to: number, top: number, { scale, low }: AffineFit): number {
  let error = 0;
  for (let i = from; i < to; i++) {
    const code = scale === 0 ? 0 : nearest((x[i] - low) / scale, 0, top);
    error += (scale * code + low - x[i]) ** 2;
  }
  return error;
}

/** A code's number for a scaled one, such as the nearest integer in a range. */
export type Rounding = (scaled: number) => number;

/**
 * The scale of x[from..to) whose codes stand for the numbers that `round` gives, from `least` < 0 to `most` > 0. It may be negative: then the
 * longer side of the codes is that of the positive numbers. All numbers must be finite.
 */
export function fitScale(
  x: Float32Array,
  from: number,
  to: number,
  { least, most, round }: { readonly least: number; readonly most: number; readonly round: Rounding },
): number {
  const end = extreme(x, from, to);
  if (end === 0) return 0;
  let best = 0;
  let error = Infinity;
  for (const side of [least, most]) {
    for (let step = -TRIES; step <= TRIES; step++) {
      const scale = refitScale(x, from, to, end / (side * (1 + (STEP * step) / 4)), round);
      const own = scaleError(x, from, to, scale, round);
      if (own >= error) continue;
      error = own;
      best = scale;
    }
  }
  return best;
}

function refitScale(x: Float32Array, from: number, to: number, scale: number, round: Rounding): number {
  let [products, squares] = [0, 0];
  for (let i = from; i < to; i++) {
    const number = round(x[i] / scale);
    products += x[i] * number;
    squares += number * number;
  }
  return squares === 0 ? scale : products / squares;
}

function scaleError(x: Float32Array, from: number, to: number, scale: number, round: Rounding): number {
  let error = 0;
  for (let i = from; i < to; i++) error += (scale === 0 ? x[i] : scale * round(x[i] / scale) - x[i]) ** 2;
  return error;
}
