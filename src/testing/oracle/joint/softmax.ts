// Softmax with one bound for all its steps, which attention shares. Composed of primitives, the shift by the maximum would count as an error
// of its own, although it cancels, and numerator and denominator as if they could not move together.
import { DECLINED, type Kernel } from "../../../backends/backend.js";
import { rowsOf } from "../../../core/shape.js";
import { blank, load, store, type Numbers } from "../cells.js";
import { SMALLEST_NORMAL } from "../float32.js";
import type { Profile } from "../profile.js";
import { gamma } from "../rounding.js";

const DEEP = 80;

/** Probabilities, and what may move them. */
export interface Softmax {
  readonly value: Float64Array;
  /** How far the bounds of the scores move each; over a row these moves sum to 0. */
  readonly moved: Float64Array;
  /** How far f32 may round each away from where it was moved. */
  readonly rounded: Float64Array;
  /** The most each can be after a move. */
  readonly most: Float64Array;
}

/**
 * Scores s' with |s'_i - s_i| <= d_i give p_i = e^s'_i / sum of e^s'_j, which rises with s'_i and falls with every other score, so its
 * extremes are at corners of the box and never leave [0, 1].
 *
 * f32 subtracts a maximum m of the very s' that it has, which is exact as a number and cancels in the quotient; the difference is rounded, by
 * u |s'_i - m|, and turns into a relative error of the exponential, which adds its own. The sum is of positive numbers: it has the weighted
 * mean of their relative errors and that of the additions; then a quotient. `passes` is how often a partial sum may be scaled anew by an
 * exponential, as kernels do that learn of the maximum on the way: each scaling is one more exponential, sum and product.
 * Exponentials of scores further below the maximum than DEEP may be subnormal or vanish altogether, and their errors are not relative to
 * them any more; the sum is at least that of the maximum itself, 1.
 */
export function softmaxOf({ value, bound }: Numbers, profile: Profile, passes: number = 0): Softmax {
  const length = value.length;
  const [p, moved, own, most] = [0, 0, 0, 0].map(() => new Float64Array(length));
  let [top, total, low, high] = [-Infinity, 0, 0, 0];
  for (let i = 0; i < length; i++) top = Math.max(top, value[i] + bound[i]);
  const lifted = (i: number, by: number): number => Math.exp(value[i] + by * bound[i] - top);
  for (let i = 0; i < length; i++) {
    total += lifted(i, 0);
    low += lifted(i, -1);
    high += lifted(i, 1);
  }
  const fixed = bound.every((d) => d === 0);
  const [errors, vanishing] = [0, 0].map(() => new Float64Array(length));
  let [mean, greatest, lost] = [0, 0, 0];
  for (let i = 0; i < length; i++) {
    p[i] = share(lifted(i, 0), total - lifted(i, 0), 0);
    const above = share(lifted(i, 1), low - lifted(i, -1), 1);
    const below = share(lifted(i, -1), high - lifted(i, 1), 0);
    moved[i] = fixed ? 0 : Math.max(above - p[i], p[i] - below, 0);
    most[i] = p[i] + moved[i];
    const depth = top - value[i] + bound[i];
    const exponential = (y: number): number => 1.01 * (1 + passes) * profile.functions.exp(-depth, y);
    errors[i] = Math.expm1(profile.unit * depth) + exponential(1) + gamma(profile, 2 * passes + 1);
    if (depth > DEEP) vanishing[i] = exponential(SMALLEST_NORMAL) + 2 * (1 + passes) * SMALLEST_NORMAL;
    mean += most[i] * errors[i];
    greatest = Math.max(greatest, errors[i]);
    lost += vanishing[i];
  }
  const sum = Math.min(mean, greatest) + lost + gamma(profile, length + 1) + profile.division(1, 1);
  for (let i = 0; i < length; i++) {
    // (1 + e) / (1 - e') - 1 <= (e + e') / (1 - e'); nothing is worse than being anywhere between 0 and a little more than 1.
    const off = most[i] * (errors[i] + sum) + 2 * vanishing[i];
    own[i] = sum < 0.5 ? Math.min(off / (1 - sum), 2) : 2;
    if (most[i] - 2 * moved[i] < 2 ** -120) own[i] += profile.underflow;
  }
  return { value: p, moved, rounded: own, most };
}

/** a / (a + others), where both may have vanished. */
function share(a: number, others: number, otherwise: number): number {
  const whole = a + Math.max(others, 0);
  return whole > 0 ? a / whole : otherwise;
}

export const softmax =
  (profile: Profile): Kernel<"softmax", void | typeof DECLINED> =>
  ([x], [y]) => {
    const { rows, width } = rowsOf(x.shape);
    const given = load(x, profile);
    if (!moderate(given)) return DECLINED;
    const out = blank(given.value.length);
    for (let row = 0; row < rows; row++) {
      const [from, to] = [row * width, (row + 1) * width];
      const scores = { value: given.value.subarray(from, to), bound: given.bound.subarray(from, to) };
      const { value, moved, rounded } = softmaxOf(scores, profile);
      out.value.set(value, from);
      const known = scores.bound.every((bound) => bound < LARGE);
      out.bound.set(known ? moved.map((one, i) => one + rounded[i]) : moved.fill(Infinity), from);
    }
    return store(y, out);
  };

/** Scores beyond this are left to the primitives, and bounds beyond it promise nothing. */
const LARGE = 2 ** 60;
export const moderate = ({ value }: Numbers): boolean => value.every((one) => Math.abs(one) < LARGE);
