// The innermost loops of the matrix products: a block of 4 x 8 sums in registers.
import * as layout from "../layout";
import { madd } from "./simd";

/** Rows and columns of a block that is not packed. */
export const ROWS: u32 = 4;
export const COLUMNS: u32 = layout.BLOCK_COLUMNS;

/** Rows of a packed block: with 8 columns, 12 sums, 2 vectors of B and 1 of A fill the registers of most machines. */
export const PACKED_ROWS: u32 = layout.BLOCK_ROWS;

/**
 * C[6, 8] = A B, or C + A B: A packed as [k][6], B packed as [k][8]. `stride`: bytes from a row of C to the next. One step of k at a time:
 * two measured slower.
 */
export function packedBlock(a: usize, b: usize, k: u32, c: usize, stride: usize, add: bool): void {
  const zero = f32x4.splat(0);
  let c00 = zero,
    c01 = zero,
    c10 = zero,
    c11 = zero,
    c20 = zero,
    c21 = zero,
    c30 = zero,
    c31 = zero,
    c40 = zero,
    c41 = zero,
    c50 = zero,
    c51 = zero;
  for (; k != 0; k--) {
    const b0 = v128.load(b),
      b1 = v128.load(b, 16);
    const a0 = v128.load_splat<f32>(a);
    c00 = madd(a0, b0, c00);
    c01 = madd(a0, b1, c01);
    const a1 = v128.load_splat<f32>(a, 4);
    c10 = madd(a1, b0, c10);
    c11 = madd(a1, b1, c11);
    const a2 = v128.load_splat<f32>(a, 8);
    c20 = madd(a2, b0, c20);
    c21 = madd(a2, b1, c21);
    const a3 = v128.load_splat<f32>(a, 12);
    c30 = madd(a3, b0, c30);
    c31 = madd(a3, b1, c31);
    const a4 = v128.load_splat<f32>(a, 16);
    c40 = madd(a4, b0, c40);
    c41 = madd(a4, b1, c41);
    const a5 = v128.load_splat<f32>(a, 20);
    c50 = madd(a5, b0, c50);
    c51 = madd(a5, b1, c51);
    a += 24;
    b += 32;
  }
  storeRow(c, c00, c01, add);
  storeRow(c + stride, c10, c11, add);
  storeRow(c + 2 * stride, c20, c21, add);
  storeRow(c + 3 * stride, c30, c31, add);
  storeRow(c + 4 * stride, c40, c41, add);
  storeRow(c + 5 * stride, c50, c51, add);
}

function storeRow(c: usize, left: v128, right: v128, add: bool): void {
  if (add) {
    left = f32x4.add(v128.load(c), left);
    right = f32x4.add(v128.load(c, 16), right);
  }
  v128.store(c, left);
  v128.store(c, right, 16);
}

/**
 * C[4, 8] = A B, or C + A B, with both as they are stored: the rows of A begin at a0 to a3, and `aStep` bytes lie between the steps of
 * the sum; a step of B is 8 adjacent numbers, `bStep` bytes from the next. `stride`: bytes from a row of C to the next.
 */
export function stridedBlock(
  a0: usize, a1: usize, a2: usize, a3: usize, aStep: usize, b: usize, bStep: usize, k: u32, c: usize, stride: usize, add: bool,
): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (; k != 0; k--) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a0);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load_splat<f32>(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load_splat<f32>(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load_splat<f32>(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    b += bStep;
  }
  storeRow(c, c00, c01, add);
  storeRow(c + stride, c10, c11, add);
  storeRow(c + 2 * stride, c20, c21, add);
  storeRow(c + 3 * stride, c30, c31, add);
}
