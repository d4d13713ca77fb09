// Sums, extremes and products of matrices. f32 may add in any order, so a sum of n terms may lose (n - 1) u times the sum of magnitudes.
import type { Kernel } from "../../../backends/backend.js";
import { sizeOf, stridesOf } from "../../../core/shape.js";
import { blank, broadcastStrides, load, positions, store } from "../cells.js";
import type { Profile } from "../profile.js";
import { gamma, settled, unlimited } from "../rounding.js";

/** What a term adds to the size of a sum. */
const sizeOfTerm = (term: number): number => (Number.isFinite(term) ? Math.abs(term) : 0);

/** The bound of a sum: what its terms bring along, plus `roundings` of the sum of the magnitudes of the finite ones. */
function sumBound(profile: Profile, y: number, spread: number, size: number, roundings: number): number {
  if (Number.isFinite(y)) {
    if (size + spread === 0) return 0;
    // Some order of the terms overflows on the way, though they cancel in the end.
    if (roundings > 1 && settled(size, spread) === Infinity) return Infinity;
    const lost = roundings > 0 ? roundings * profile.underflow : 0;
    return settled(y, spread + gamma(profile, Math.max(roundings, 0)) * (size + spread) + lost);
  }
  // Every order of summation meets the infinities and NaNs, but another may overflow on the way to the other infinity.
  return unlimited(profile, spread === 0 && (Number.isNaN(y) || settled(size, 0) === 0));
}

export const reduce =
  (profile: Profile): Kernel<"reduce", void> =>
  ([x], [y], { op }) => {
    const { value, bound } = load(x, profile);
    const to = positions(x.shape, broadcastStrides(y.shape, x.shape));
    const out = blank(sizeOf(y.shape));
    const float = x.dtype === "f32";
    if (op !== "sum") {
      const pick = Math[op];
      const neutral = op === "max" ? -Infinity : Infinity;
      const [least, most] = [out.value.slice().fill(neutral), out.value.slice().fill(neutral)];
      out.value.fill(neutral);
      for (let i = 0; i < value.length; i++) {
        out.value[to[i]] = pick(out.value[to[i]], value[i]);
        least[to[i]] = pick(least[to[i]], value[i] - bound[i]);
        most[to[i]] = pick(most[to[i]], value[i] + bound[i]);
      }
      for (let i = 0; i < out.value.length; i++) {
        const spread = Math.max(most[i] - out.value[i], out.value[i] - least[i]);
        // Without bounds the two agree, also where they are infinite or NaN.
        out.bound[i] = Object.is(least[i], most[i]) ? 0 : Number.isNaN(spread) ? Infinity : spread;
        if (!float) out.value[i] = saturated(out.value[i], y.dtype === "i32");
      }
      return store(y, out);
    }
    const size = new Float64Array(out.value.length);
    const terms = new Int32Array(out.value.length);
    for (let i = 0; i < value.length; i++) {
      const at = to[i];
      out.value[at] = float ? out.value[at] + value[i] : (out.value[at] + value[i]) | 0;
      out.bound[at] += bound[i];
      size[at] += sizeOfTerm(value[i]);
      if (value[i] !== 0 || bound[i] > 0) terms[at]++;
    }
    if (float) {
      for (let i = 0; i < size.length; i++) {
        out.bound[i] = sumBound(profile, out.value[i], out.bound[i], size[i], terms[i] - 1);
      }
    }
    return store(y, out);
  };

/** What an extreme over nothing is in an integer type. */
function saturated(value: number, signed: boolean): number {
  if (Number.isFinite(value)) return value;
  if (signed) return value < 0 ? -(2 ** 31) : 2 ** 31 - 1;
  return value < 0 ? 0 : 2 ** 32 - 1;
}

/** Running sums; the one up to an element is a sum of that many terms. */
export const scan =
  (profile: Profile): Kernel<"scan", void> =>
  ([x], [y], { axis, exclusive }) => {
    const { value, bound } = load(x, profile);
    const out = blank(value.length);
    const float = x.dtype === "f32";
    const starts = positions(
      x.shape,
      stridesOf(x.shape).map((step, i) => (i === axis ? 0 : step)),
    );
    const sums = {
      value: out.value.slice(),
      spread: out.value.slice(),
      size: out.value.slice(),
      terms: out.value.slice(),
    };
    // In row-major order an element's predecessor along the axis comes before it; the running state lies at the first one's place.
    for (let i = 0; i < value.length; i++) {
      const at = starts[i];
      const put = (): void => {
        out.value[i] = sums.value[at];
        out.bound[i] = float
          ? sumBound(profile, sums.value[at], sums.spread[at], sums.size[at], sums.terms[at] - 1)
          : sums.spread[at];
      };
      if (exclusive) put();
      sums.value[at] = float ? sums.value[at] + value[i] : (sums.value[at] + value[i]) | 0;
      sums.spread[at] += bound[i];
      sums.size[at] += sizeOfTerm(value[i]);
      if (value[i] !== 0 || bound[i] > 0) sums.terms[at]++;
      if (!exclusive) put();
    }
    store(y, out);
  };

/** y = a b: a product's rounding and the additions after it, n in all for n terms that are not 0. */
export const matmul =
  (profile: Profile): Kernel<"matmul", void> =>
  ([a, b], [y], { transposeA, transposeB }) => {
    const left = load(a, profile);
    const right = load(b, profile);
    const [rows, columns] = y.shape.slice(-2);
    const inner = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const batches = y.shape.length === 3 ? y.shape[0] : 1;
    const [aRow, aInner] = transposeA ? [1, rows] : [inner, 1];
    const [bInner, bColumn] = transposeB ? [1, inner] : [columns, 1];
    const out = blank(sizeOf(y.shape));
    let at = 0;
    for (let batch = 0; batch < batches; batch++) {
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          let [value, spread, size, terms] = [0, 0, 0, 0];
          let i = batch * rows * inner + row * aRow;
          let j = batch * inner * columns + column * bColumn;
          for (let k = 0; k < inner; k++, i += aInner, j += bInner) {
            const [p, q, dp, dq] = [left.value[i], right.value[j], left.bound[i], right.bound[j]];
            const exact = Math.abs(p * q);
            value += p * q;
            size += sizeOfTerm(exact);
            if (dp !== 0 || dq !== 0) spread += Math.abs(p) * dq + dp * Math.abs(q) + dp * dq;
            if (exact !== 0 || dp !== 0 || dq !== 0) terms++;
          }
          out.value[at] = value;
          out.bound[at] = sumBound(profile, value, spread, size, terms);
          at++;
        }
      }
    }
    store(y, out);
  };
