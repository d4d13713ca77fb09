// Many rounded rows of x times int8 codes or nibbles (`S` as in packed-dot.ts): eight rows of the weight are put in the order of the integer products once,
// then read by four rows of x at a time.
import * as layout from "../layout";
import { BLOCK_BYTES, SCALE, TOTAL } from "./packed-activations";
import { blockScale, codeBytes, fillUp, loadCodes, scaleBytes } from "./packed-dot";
import { madd } from "./simd";

/** Rows of a weight in a panel, and rows of x that meet it at a time. */
export const PANEL_ROWS: u32 = layout.PANEL_ROWS;
const X_ROWS: u32 = 4;

// A panel: for each block the codes of all rows, then the scales of the rows. The codes lie in steps of 32 bytes: for each row 4 bytes that are
// multiplied by the same 4 bytes of x, four int8 or nibbles or, without relaxed SIMD, two i16.
const CODES: usize = ASC_FEATURE_RELAXED_SIMD ? layout.PANEL_CODES / 2 : layout.PANEL_CODES;
const STEPS: usize = CODES / 32;

export function panelBytes(width: u32): usize {
  return (((width as usize) + 31) >> 5) * (CODES + 32);
}

/** Four vectors of four rows become four steps, of which a row has 4 bytes; `to`: the rows' place in the first of them. */
function transposeSteps(a: v128, b: v128, c: v128, d: v128, to: usize): void {
  const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(to, i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(to, i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 32);
  v128.store(to, i8x16.shuffle(ab1, cd1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 64);
  v128.store(to, i8x16.shuffle(ab1, cd1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 96);
}

/** Vector i of a block's codes: 16 bytes, or 8 i16. The order within x is the same (packed-activations.ts). */
function vectorOf<S>(codes: usize, i: usize): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (isSigned<S>()) return v128.load(codes + (i << 4));
    return v128.and(i16x8.shr_u(loadCodes<S>(codes), (i << 2) as i32), i8x16.splat(15));
  }
  if (isSigned<S>()) return v128.load8x8_s(codes + (i << 3));
  return v128.and(i16x8.shr_u(loadCodes<S>(codes), (i << 2) as i32), i16x8.splat(15));
}

function packQuad<S>(c0: usize, c1: usize, c2: usize, c3: usize, to: usize): void {
  for (let i: usize = 0; i < STEPS / 4; i++) {
    transposeSteps(vectorOf<S>(c0, i), vectorOf<S>(c1, i), vectorOf<S>(c2, i), vectorOf<S>(c3, i), to + (i << 7));
  }
}

/** Eight rows, of which `count` exist; the others repeat the last. `scratch`: 128 bytes. */
export function packRows<S>(
  codes: usize, codeRow: usize, scales: usize, scaleRow: usize, count: u32, width: u32, to: usize, scratch: usize,
): void {
  const perWord: u32 = isSigned<S>() ? 4 : 8;
  for (let first: u32 = 0; first < PANEL_ROWS; first += 4) {
    const r0 = min(first, count - 1), r1 = min(first + 1, count - 1), r2 = min(first + 2, count - 1), r3 = min(first + 3, count - 1);
    let c0 = codes + r0 * codeRow, c1 = codes + r1 * codeRow, c2 = codes + r2 * codeRow, c3 = codes + r3 * codeRow;
    let s0 = scales + r0 * scaleRow, s1 = scales + r1 * scaleRow, s2 = scales + r2 * scaleRow, s3 = scales + r3 * scaleRow;
    let at = to + (first << 2);
    for (let left = width; left != 0; left -= min(left, 32)) {
      if (left < 32) {
        const words = (left + perWord - 1) / perWord;
        c0 = fillUp(scratch, c0, words);
        c1 = fillUp(scratch + 32, c1, words);
        c2 = fillUp(scratch + 64, c2, words);
        c3 = fillUp(scratch + 96, c3, words);
      }
      packQuad<S>(c0, c1, c2, c3, at);
      v128.store(at + CODES, f32x4(blockScale<S>(s0), blockScale<S>(s1), blockScale<S>(s2), blockScale<S>(s3)));
      c0 += codeBytes<S>();
      c1 += codeBytes<S>();
      c2 += codeBytes<S>();
      c3 += codeBytes<S>();
      s0 += scaleBytes<S>();
      s1 += scaleBytes<S>();
      s2 += scaleBytes<S>();
      s3 += scaleBytes<S>();
      at += CODES + 32;
    }
  }
}

/** Four bytes of x times those of four rows; `signs` belong to x where the product needs them. */
function step<S>(w: v128, x: v128, signs: v128, sums: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (isSigned<S>()) return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(w, signs), x, sums);
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sums);
  }
  return i32x4.add(sums, i32x4.dot_i16x8_s(w, x));
}

function signsOf<S>(x: usize, numbers: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD && isSigned<S>() ? v128.load32_splat(x, 32) : numbers;
}

/** A block's products for one row of x, with both scales, added to eight sums. */
function addScaled(low: v128, high: v128, panel: usize, x: usize, sums: usize): void {
  const scale = v128.load32_splat(x, SCALE);
  const lowScales = f32x4.mul(v128.load(panel), scale), highScales = f32x4.mul(v128.load(panel, 16), scale);
  v128.store(sums, madd(f32x4.convert_i32x4_s(low), lowScales, v128.load(sums)));
  v128.store(sums, madd(f32x4.convert_i32x4_s(high), highScales, v128.load(sums, 16)), 16);
}

/** sums[4, 8] = four rounded rows of x times the eight rows of a panel. */
export function panelProducts<S>(panel: usize, x0: usize, x1: usize, x2: usize, x3: usize, width: u32, sums: usize): void {
  memory.fill(sums, 0, X_ROWS * PANEL_ROWS * 4);
  for (let blocks = (width + 31) >> 5; blocks != 0; blocks--) {
    let a0 = v128.load32_splat(x0, TOTAL), a1 = v128.load32_splat(x1, TOTAL), a2 = v128.load32_splat(x2, TOTAL), a3 = v128.load32_splat(x3, TOTAL);
    let b0 = a0, b1 = a1, b2 = a2, b3 = a3;
    for (let i: usize = 0; i < STEPS * 4; i += 4) {
      const low = v128.load(panel), high = v128.load(panel, 16);
      let x = v128.load32_splat(x0 + i), signs = signsOf<S>(x0 + i, x);
      a0 = step<S>(low, x, signs, a0);
      b0 = step<S>(high, x, signs, b0);
      x = v128.load32_splat(x1 + i);
      signs = signsOf<S>(x1 + i, x);
      a1 = step<S>(low, x, signs, a1);
      b1 = step<S>(high, x, signs, b1);
      x = v128.load32_splat(x2 + i);
      signs = signsOf<S>(x2 + i, x);
      a2 = step<S>(low, x, signs, a2);
      b2 = step<S>(high, x, signs, b2);
      x = v128.load32_splat(x3 + i);
      signs = signsOf<S>(x3 + i, x);
      a3 = step<S>(low, x, signs, a3);
      b3 = step<S>(high, x, signs, b3);
      panel += 32;
    }
    addScaled(a0, b0, panel, x0, sums);
    addScaled(a1, b1, panel, x1, sums + 32);
    addScaled(a2, b2, panel, x2, sums + 64);
    addScaled(a3, b3, panel, x3, sums + 96);
    panel += 32;
    x0 += BLOCK_BYTES;
    x1 += BLOCK_BYTES;
    x2 += BLOCK_BYTES;
    x3 += BLOCK_BYTES;
  }
}
