// Attention and its gradient with one bound for weights and values together: what scores may move are differences from the weighted mean.
import { DECLINED, type Kernel } from "../../../backends/backend.js";
import { sizeOf } from "../../../core/shape.js";
import { blank, load, store, type Numbers } from "../cells.js";
import type { Profile } from "../profile.js";
import { gamma, settled } from "../rounding.js";
import { visibleRows, type Operands, type Row } from "./visible-rows.js";

/**
 * How far the mean of f_j weighted by p_j, `mean`, may move when the scores move within their bounds d_j: the derivative by score j is
 * p_j (f_j - mean), so by the mean value theorem at most the sum over j of (most p_j) (|f_j - mean| + how far the mean may move) d_j, and
 * in any case, since moves of weights sum to 0, sum over j of |move of p_j| |f_j - mean|, which also serves as the inner "how far".
 */
function movedMean({ scores, p }: Row, f: (j: number) => number, mean: number): number {
  let moved = 0;
  for (let j = 0; j < scores.value.length; j++) moved += p.moved[j] * Math.abs(f(j) - mean);
  let byScores = 0;
  for (let j = 0; j < scores.value.length; j++) {
    byScores += p.most[j] * (Math.abs(f(j) - mean) + moved) * scores.bound[j];
  }
  return Number.isNaN(byScores) ? moved : Math.min(moved, byScores);
}

/**
 * y = sum of p_j v_j. On the way to the backend's number the values move within their bounds, then the scores within theirs, and then f32
 * rounds weights (`p.rounded`, where nothing cancels) and the sum: a product and an addition per key, and as many scalings again in kernels
 * that learn of the maximum on the way.
 */
export const attention =
  (profile: Profile): Kernel<"attention", void | typeof DECLINED> =>
  (inputs, [y], attrs) => {
    const seen = visibleRows(inputs, attrs, profile);
    if (!seen) return DECLINED;
    const { v, d } = seen.of;
    const out = blank(sizeOf(y.shape));
    for (const row of seen.rows) {
      const { p, keys } = row;
      for (let c = 0; c < d; c++) {
        let [value, size, spread] = [0, 0, 0];
        keys.forEach((key, j) => {
          const [x, dx] = [v.value[key + c], v.bound[key + c]];
          value += p.value[j] * x;
          spread += p.most[j] * dx + p.rounded[j] * (Math.abs(x) + dx);
          size += (p.most[j] + p.rounded[j]) * (Math.abs(x) + dx);
        });
        spread += movedMean(row, (j) => v.value[keys[j] + c], value);
        const own = gamma(profile, 2 * keys.length) * size + (size === 0 ? 0 : 2 * keys.length * profile.underflow);
        out.value[row.query + c] = value;
        out.bound[row.query + c] = settledOr(value, spread + own);
      }
    }
    return store(y, out);
  };

const settledOr = (value: number, bound: number): number => (Number.isNaN(bound) ? Infinity : settled(value, bound));

/** Sums of products into one place each, in any order. */
class Sums {
  readonly numbers: Numbers;
  readonly #size: Float64Array;
  readonly #terms: Int32Array;

  constructor(length: number) {
    this.numbers = blank(length);
    this.#size = new Float64Array(length);
    this.#terms = new Int32Array(length);
  }

  /** Adds a b. */
  add(at: number, a: number, da: number, b: number, db: number): void {
    const size = (Math.abs(a) + da) * (Math.abs(b) + db);
    if (size === 0) return;
    this.numbers.value[at] += a * b;
    this.numbers.bound[at] += size - Math.abs(a * b);
    this.#size[at] += size;
    this.#terms[at]++;
  }

  /** With what rounding does: for n terms n + 1 roundings each, one of them of a factor that all share. */
  settle(profile: Profile): Numbers {
    const { value, bound } = this.numbers;
    for (let i = 0; i < value.length; i++) {
      const own = gamma(profile, this.#terms[i] + 1) * this.#size[i] + this.#terms[i] * profile.underflow;
      bound[i] = settledOr(value[i], bound[i] + own);
    }
    return this.numbers;
  }
}

/**
 * dv_j = sum of p_j dy. dScore_j = scale p_j (dy·v_j - dy·y), whose second factor is bounded as dy·(v_j - y), since that is what it is: an error
 * of dy counts by the difference. dq and dk are sums of dScore by k and q. Caps are left to the primitives.
 */
export const attentionGrad =
  (profile: Profile): Kernel<"attentionGrad", void | typeof DECLINED> =>
  ([q, k, v, queries, keys, y, dy], [dq, dk, dv], attrs) => {
    if (attrs.softcap > 0) return DECLINED;
    const seen = visibleRows([q, k, v, queries, keys], attrs, profile);
    const [result, given] = [load(y, profile), load(dy, profile)];
    const fits = [...result.value, ...given.value].every((x) => Math.abs(x) < 2 ** 60);
    if (!seen || !fits) return DECLINED;
    const { of, rows } = seen;
    const sums = [q, k, v].map(({ shape }) => new Sums(sizeOf(shape)));
    const [ofQ, ofK, ofV] = sums;
    const slip = Math.abs(attrs.scale - Math.fround(attrs.scale));
    for (const row of rows) {
      row.keys.forEach((key, j) => {
        const [p, dp] = [row.p.value[j], row.p.moved[j] + row.p.rounded[j]];
        for (let c = 0; c < of.d; c++) {
          const at = row.query + c;
          ofV.add(key + c, p, dp, given.value[at], given.bound[at]);
        }
        const [rest, dRest] = restOf(row.query, key, of, result, given, profile);
        const scaled = p * rest * attrs.scale;
        const size = (p + dp) * (Math.abs(rest) + dRest) * (Math.abs(attrs.scale) + slip);
        const off = size - Math.abs(scaled) + gamma(profile, 2) * size + 2 * profile.underflow * Math.min(size, 1);
        for (let c = 0; c < of.d; c++) {
          ofQ.add(row.query + c, scaled, off, of.k.value[key + c], of.k.bound[key + c]);
          ofK.add(key + c, scaled, off, of.q.value[row.query + c], of.q.bound[row.query + c]);
        }
      });
    }
    [dq, dk, dv].forEach((view, i) => {
      if (view) store(view, sums[i].settle(profile));
    });
    return undefined;
  };

/** dy·v_j - dy·y, each a sum of d products, and a difference. */
function restOf(query: number, key: number, { v, d }: Operands, y: Numbers, dy: Numbers, profile: Profile) {
  let [value, spread, size] = [0, 0, 0];
  for (let c = 0; c < d; c++) {
    const [g, dg] = [dy.value[query + c], dy.bound[query + c]];
    const [x, m] = [v.value[key + c], y.value[query + c]];
    const off = v.bound[key + c] + y.bound[query + c];
    value += g * (x - m);
    spread += dg * Math.abs(x - m) + (Math.abs(g) + dg) * off;
    size += (Math.abs(g) + dg) * (Math.abs(x) + Math.abs(m) + off);
  }
  return [value, size === 0 ? 0 : spread + gamma(profile, d + 1) * size + (2 * d + 1) * profile.underflow] as const;
}
