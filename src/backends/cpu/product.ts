// The one inner product that linear, matmul, the expert products and their gradients use: rows times rows, in register blocks.
import type { MatrixRows } from "./read.js";

/**
 * y[r, o] = sum over i of x[r, i] * w[o, i], plus bias[o]: one f64 sum in the order of i, then one rounding, however the work is blocked.
 * x, w are rows of length `inner` from `xAt`, `wAt`; row r of y begins at yAt + r * yStride.
 */
export function product(
  x: Float32Array,
  xAt: number,
  w: Float32Array,
  wAt: number,
  bias: Float32Array | undefined,
  biasAt: number,
  y: Float32Array | Float64Array,
  yAt: number,
  yStride: number,
  rows: number,
  outs: number,
  inner: number,
): void {
  const added = bias ?? new Float32Array(outs);
  const addedAt = bias === undefined ? 0 : biasAt;
  const fullRows = rows - (rows % 4);
  const fullOuts = outs - (outs % 4);
  for (let o = 0; o < fullOuts; o += 4) {
    const wRow = wAt + o * inner;
    for (let r = 0; r < fullRows; r += 4) {
      block4x4(x, xAt + r * inner, w, wRow, added, addedAt + o, y, yAt + r * yStride + o, yStride, inner);
    }
    for (let r = fullRows; r < rows; r++) {
      block1x4(x, xAt + r * inner, w, wRow, added, addedAt + o, y, yAt + r * yStride + o, inner);
    }
  }
  for (let r = 0; r < rows; r++) {
    for (let o = fullOuts; o < outs; o++) {
      y[yAt + r * yStride + o] = dot(x, xAt + r * inner, w, wAt + o * inner, inner) + added[addedAt + o];
    }
  }
}

/** Like {@link product}, with `outs` rows of a matrix from row `first` on, which may be packed. */
export function matrixProduct(
  x: Float32Array,
  weight: MatrixRows,
  first: number,
  outs: number,
  bias: Float32Array | undefined,
  y: Float32Array | Float64Array,
  rows: number,
): void {
  for (let o = 0; o < outs; o += weight.limit) {
    const count = Math.min(weight.limit, outs - o);
    product(x, 0, weight.array, weight.load(first + o, count), bias, o, y, o, outs, rows, count, weight.width);
  }
}

/** Sum over i of a[i] * b[i] in f64. */
export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aAt + i] * b[bAt + i];
  return sum;
}

/** The transpose of a [rows, columns] window; products read both sides along rows. */
export function transposed(x: Float32Array, at: number, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const y = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) y[c * rows + r] = x[at + r * columns + c];
  }
  return y;
}

function block1x4(
  x: Float32Array,
  x0: number,
  w: Float32Array,
  w0: number,
  bias: Float32Array,
  b0: number,
  y: Float32Array | Float64Array,
  y0: number,
  inner: number,
): void {
  const w1 = w0 + inner;
  const w2 = w1 + inner;
  const w3 = w2 + inner;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  for (let i = 0; i < inner; i++) {
    const a = x[x0 + i];
    s0 += a * w[w0 + i];
    s1 += a * w[w1 + i];
    s2 += a * w[w2 + i];
    s3 += a * w[w3 + i];
  }
  y[y0] = s0 + bias[b0];
  y[y0 + 1] = s1 + bias[b0 + 1];
  y[y0 + 2] = s2 + bias[b0 + 2];
  y[y0 + 3] = s3 + bias[b0 + 3];
}

/** Sixteen sums at once: each loaded number is used four times. */
function block4x4(
  x: Float32Array,
  x0: number,
  w: Float32Array,
  w0: number,
  bias: Float32Array,
  b0: number,
  y: Float32Array | Float64Array,
  y0: number,
  yStride: number,
  inner: number,
): void {
  const x1 = x0 + inner;
  const x2 = x1 + inner;
  const x3 = x2 + inner;
  const w1 = w0 + inner;
  const w2 = w1 + inner;
  const w3 = w2 + inner;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s03 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  let s13 = 0;
  let s20 = 0;
  let s21 = 0;
  let s22 = 0;
  let s23 = 0;
  let s30 = 0;
  let s31 = 0;
  let s32 = 0;
  let s33 = 0;
  for (let i = 0; i < inner; i++) {
    const a0 = x[x0 + i];
    const a1 = x[x1 + i];
    const a2 = x[x2 + i];
    const a3 = x[x3 + i];
    const c0 = w[w0 + i];
    const c1 = w[w1 + i];
    const c2 = w[w2 + i];
    const c3 = w[w3 + i];
    s00 += a0 * c0;
    s01 += a0 * c1;
    s02 += a0 * c2;
    s03 += a0 * c3;
    s10 += a1 * c0;
    s11 += a1 * c1;
    s12 += a1 * c2;
    s13 += a1 * c3;
    s20 += a2 * c0;
    s21 += a2 * c1;
    s22 += a2 * c2;
    s23 += a2 * c3;
    s30 += a3 * c0;
    s31 += a3 * c1;
    s32 += a3 * c2;
    s33 += a3 * c3;
  }
  const bias0 = bias[b0];
  const bias1 = bias[b0 + 1];
  const bias2 = bias[b0 + 2];
  const bias3 = bias[b0 + 3];
  y[y0] = s00 + bias0;
  y[y0 + 1] = s01 + bias1;
  y[y0 + 2] = s02 + bias2;
  y[y0 + 3] = s03 + bias3;
  y[y0 + yStride] = s10 + bias0;
  y[y0 + yStride + 1] = s11 + bias1;
  y[y0 + yStride + 2] = s12 + bias2;
  y[y0 + yStride + 3] = s13 + bias3;
  y[y0 + 2 * yStride] = s20 + bias0;
  y[y0 + 2 * yStride + 1] = s21 + bias1;
  y[y0 + 2 * yStride + 2] = s22 + bias2;
  y[y0 + 2 * yStride + 3] = s23 + bias3;
  y[y0 + 3 * yStride] = s30 + bias0;
  y[y0 + 3 * yStride + 1] = s31 + bias1;
  y[y0 + 3 * yStride + 2] = s32 + bias2;
  y[y0 + 3 * yStride + 3] = s33 + bias3;
}
