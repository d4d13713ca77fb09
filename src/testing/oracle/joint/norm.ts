// RMSNorm and its gradient with one bound for all steps together. Composed of primitives, the bound of x enters the norm twice (as x and as
// the factor r), and neither knows that a larger x makes a smaller r; after two layers such bounds say nothing.
import { DECLINED, type Kernel } from "../../../backends/backend.js";
import { rowsOf } from "../../../core/shape.js";
import { blank, load, store, type Numbers } from "../cells.js";
import type { Profile } from "../profile.js";
import { gamma, rounded, settled } from "../rounding.js";

/** n = x r and r = 1 / sqrt(mean(x^2) + eps), row by row. */
interface Norm {
  readonly n: Numbers;
  readonly r: Numbers;
}

/** Within these limits squares neither overflow nor lose anything to underflow that one more rounding would not cover. */
const [LEAST, GREATEST] = [2 ** -60, 2 ** 100];

/**
 * What may lie in the box of all x' with |x'_i - x_i| <= d_i. With S_i the sum of the other squares, n_i = x_i / sqrt((x_i^2 + S_i) / D + eps)
 * rises with x_i and shrinks with S_i, so its extremes are at corners of the box: no step of this is approximate, and |n_i| <= sqrt(D)
 * however wide the box. r falls with every square.
 *
 * Then f32 computes on some x' of the box. All summands are positive: mean(x'^2) + eps has the relative error of D squares, D - 1 sums, a
 * quotient by D (or a product with 1 / D, rounded), eps and a sum, to which one rounding is added for underflow; the root halves it, which is
 * not made use of; and r has the function's own error. n is one product more.
 * Undefined where a row leaves the limits: the primitives say what is to be said there.
 */
function normOf(x: Numbers, width: number, eps: number, profile: Profile): Norm | undefined {
  const n = blank(x.value.length);
  const r = blank(width === 0 ? 0 : x.value.length / width);
  const own = 1.01 * (gamma(profile, width + 4) + profile.division(1, 1) + profile.functions.rsqrt(1, 1));
  for (let row = 0; row < r.value.length; row++) {
    const range = squares(x, row * width, (row + 1) * width);
    if (range.least / width + eps < LEAST || !(range.value < GREATEST) || eps < 0) return undefined;
    r.value[row] = 1 / Math.sqrt(range.value / width + eps);
    const most = 1 / Math.sqrt(range.least / width + eps);
    const least = 1 / Math.sqrt(range.most / width + eps);
    const known = range.most < GREATEST;
    r.bound[row] = known ? Math.max(most - r.value[row], r.value[row] - least) + own * most : Infinity;
    for (let i = row * width; i < (row + 1) * width; i++) {
      const [value, d] = [x.value[i], x.bound[i]];
      n.value[i] = value * r.value[row];
      if (!known) {
        n.bound[i] = Infinity;
        continue;
      }
      const low = Math.max(range.least - Math.max(Math.abs(value) - d, 0) ** 2, 0);
      const high = Math.max(range.most - (Math.abs(value) + d) ** 2, 0);
      const at = (x: number, others: number): number => x / Math.sqrt((x * x + others) / width + eps);
      const top = at(value + d, value + d >= 0 ? low : high);
      const bottom = at(value - d, value - d >= 0 ? high : low);
      const spread = d === 0 && range.exact ? 0 : Math.max(top - n.value[i], n.value[i] - bottom, 0);
      n.bound[i] = rounded(profile, n.value[i], spread + own * (Math.abs(n.value[i]) + spread));
    }
  }
  return { n, r };
}

/** The sum of squares: its value, its extremes in the box, and whether the box is a point. */
function squares({ value, bound }: Numbers, from: number, to: number) {
  const sum = { value: 0, least: 0, most: 0, exact: true };
  for (let i = from; i < to; i++) {
    const size = Math.abs(value[i]);
    sum.value += size ** 2;
    sum.least += Math.max(size - bound[i], 0) ** 2;
    sum.most += (size + bound[i]) ** 2;
    sum.exact &&= bound[i] === 0;
  }
  return sum;
}

/** The product of two numbers with bounds, rounded. */
function product(
  profile: Profile,
  a: number,
  da: number,
  b: number,
  db: number,
): readonly [value: number, bound: number] {
  return [a * b, rounded(profile, a * b, Math.abs(a) * db + Math.abs(b) * da + da * db)];
}

export const rmsNorm =
  (profile: Profile): Kernel<"rmsNorm", void | typeof DECLINED> =>
  ([x, weight], [y], { eps }) => {
    const { width } = rowsOf(x.shape);
    const norm = normOf(load(x, profile), width, eps, profile);
    const w = load(weight, profile);
    if (!norm || !settledWeights(w)) return DECLINED;
    const out = blank(norm.n.value.length);
    for (let i = 0; i < out.value.length; i++) {
      const j = i % width;
      [out.value[i], out.bound[i]] = product(profile, norm.n.value[i], norm.n.bound[i], w.value[j], w.bound[j]);
    }
    return store(y, out);
  };

const settledWeights = ({ value, bound }: Numbers): boolean =>
  value.every((w, i) => settled(w, bound[i]) < Infinity && Math.abs(w) < GREATEST);

/**
 * With g = dy w: dx_i = r (g_i - n_i mean(g n)), dW_i = sum over rows of dy_i n_i. n and r come as above, and so the sum
 * g_i - n_i mean(g n) = sum over j of g_j (1[i = j] - n_i n_j / D) is bounded term by term in g, as one linear map: its coefficients are
 * known up to what n is known, and the coefficient of g_i itself, 1 - n_i^2 / D, is less than either of its two parts.
 */
export const rmsNormGrad =
  (profile: Profile): Kernel<"rmsNormGrad", void | typeof DECLINED> =>
  ([x, weight, dy], [dx, dWeight], { eps }) => {
    const { rows, width } = rowsOf(x.shape);
    const norm = normOf(load(x, profile), width, eps, profile);
    const [w, given] = [load(weight, profile), load(dy, profile)];
    if (!norm || !settledWeights(w) || !settledWeights(given)) return DECLINED;
    const { n, r } = norm;
    if (dWeight) {
      const sums = blank(width);
      for (let j = 0; j < width; j++) {
        let size = 0;
        for (let i = j; i < n.value.length; i += width) {
          const [value, bound] = product(profile, given.value[i], given.bound[i], n.value[i], n.bound[i]);
          sums.value[j] += value;
          sums.bound[j] += bound;
          size += Math.abs(value) + bound;
        }
        sums.bound[j] = size === 0 ? 0 : settled(sums.value[j], sums.bound[j] + gamma(profile, rows) * size);
      }
      store(dWeight, sums);
    }
    if (!dx) return undefined;
    const out = blank(n.value.length);
    const g = blank(width);
    for (let row = 0; row < rows; row++) {
      const from = row * width;
      for (let j = 0; j < width; j++) {
        const i = from + j;
        [g.value[j], g.bound[j]] = product(profile, given.value[i], given.bound[i], w.value[j], w.bound[j]);
      }
      for (let i = from; i < from + width; i++) {
        const inner = projected(profile, n, g, from, i - from);
        [out.value[i], out.bound[i]] = product(profile, r.value[row], r.bound[row], inner.value, inner.bound);
      }
    }
    return store(dx, out);
  };

/** g_i - n_i mean(g n). Each term of the mean is rounded in D products and sums, a quotient, the product with n_i and the difference. */
function projected(
  profile: Profile,
  n: Numbers,
  g: Numbers,
  from: number,
  i: number,
): { value: number; bound: number } {
  const D = g.value.length;
  const roundings = gamma(profile, D + 3) + 2 * profile.division(1, 1);
  const [ni, di] = [n.value[from + i], n.bound[from + i]];
  let [value, spread, size] = [g.value[i], 0, Math.abs(g.value[i]) + g.bound[i]];
  for (let j = 0; j < D; j++) {
    const [nj, dj] = [n.value[from + j], n.bound[from + j]];
    const slip = (Math.abs(ni) * dj + Math.abs(nj) * di + di * dj) / D;
    const coefficient = Number(i === j) - (ni * nj) / D;
    value -= (ni * nj * g.value[j]) / D;
    spread += Math.abs(coefficient) * g.bound[j] + slip * (Math.abs(g.value[j]) + g.bound[j]);
    size += (Math.abs(ni * nj) / D + slip) * (Math.abs(g.value[j]) + g.bound[j]);
  }
  return { value, bound: size === 0 ? 0 : settled(value, spread + roundings * size + (D + 3) * profile.underflow) };
}
