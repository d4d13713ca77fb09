// Rows of x rounded by the Q8_0 rule, in the order in which integer products read them. Codes of x never reach -128.
import { word } from "./command";
import * as layout from "../layout";
import { INT4_INTEGERS, Q4_0_INTEGERS, Q8_0 } from "../codes";
import { decodePlaced, encodeRow } from "./packed";
import { scaleOf } from "./packed-halves";
import { isIntegers } from "./packed-matrix";
import { endOf, firstOf } from "./rows";
import { sumInts } from "./simd";

const BLOCK: u32 = 32;

// A row: for each block 64 bytes of codes, 16 that its sums start with, the scale, the sum of the starts; then the scales again, together. What
// codes and starts are depends on the build and on the codes of the weights, `S`: i8, or u8 for nibbles.
//
// Relaxed SIMD, int8: |x|, and -1 where x is negative, 0 elsewhere. w x = (w ^ sign) |x| + (sign & |x|): no overflow at -128, |x| is 0..127
// as the product's second operand must be, and the second term does not depend on w. Nibbles: x of even places, x of odd places.
// Plain SIMD, int8: x as i16. Nibbles: the same, places n, n + 4, n + 8, ... together. Nibbles are w + 8, so their sums start at -8 sum x.

/** Bytes of a block without the scale that stands apart, and what lies where in it. */
export const BLOCK_BYTES: usize = layout.ROUNDED_BLOCK - 4;
export const START: usize = 64;
export const SCALE: usize = 80;
export const TOTAL: usize = 84;

/** Blocks of a row, with empty ones up to a multiple of four. */
function blocksOf(width: u32): u32 {
  return ((width + 127) >> 7) << 2;
}

/** Bytes of a row. */
export function rowBytes(width: u32): usize {
  return (blocksOf(width) as usize) * layout.ROUNDED_BLOCK;
}

export function scalesOf(x: usize, width: u32): usize {
  return x + (blocksOf(width) as usize) * BLOCK_BYTES;
}

/**
 * Puts 32 codes in order at `to`; returns where their sums start, each lane by the numbers that will be summed in it: what cancels does so
 * before it is scaled and rounded.
 */
function arrange<S>(codes: usize, to: usize): v128 {
  const low = v128.load(codes), high = v128.load(codes, 16), zero = i32x4.splat(0);
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (isSigned<S>()) {
      const a = i8x16.abs(low), b = i8x16.abs(high), s = i8x16.lt_s(low, zero), t = i8x16.lt_s(high, zero);
      v128.store(to, a);
      v128.store(to, b, 16);
      v128.store(to, s, 32);
      v128.store(to, t, 48);
      return i32x4.neg(i32x4.relaxed_dot_i8x16_i7x16_add_s(t, b, i32x4.relaxed_dot_i8x16_i7x16_add_s(s, a, zero)));
    }
    const even = i8x16.shuffle(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const odd = i8x16.shuffle(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    v128.store(to, even);
    v128.store(to, odd, 16);
    const eight = i8x16.splat(8);
    return i32x4.neg(i32x4.relaxed_dot_i8x16_i7x16_add_s(odd, eight, i32x4.relaxed_dot_i8x16_i7x16_add_s(even, eight, zero)));
  }
  const a = i16x8.extend_low_i8x16_s(low), b = i16x8.extend_high_i8x16_s(low);
  const c = i16x8.extend_low_i8x16_s(high), d = i16x8.extend_high_i8x16_s(high);
  if (isSigned<S>()) {
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
    return zero;
  }
  // 0 4 8 .. of a and b, then of c and d
  const ab0 = i8x16.shuffle(a, b, 0, 1, 8, 9, 16, 17, 24, 25, 2, 3, 10, 11, 18, 19, 26, 27);
  const ab2 = i8x16.shuffle(a, b, 4, 5, 12, 13, 20, 21, 28, 29, 6, 7, 14, 15, 22, 23, 30, 31);
  const cd0 = i8x16.shuffle(c, d, 0, 1, 8, 9, 16, 17, 24, 25, 2, 3, 10, 11, 18, 19, 26, 27);
  const cd2 = i8x16.shuffle(c, d, 4, 5, 12, 13, 20, 21, 28, 29, 6, 7, 14, 15, 22, 23, 30, 31);
  const x0 = i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  const x1 = i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  const x2 = i8x16.shuffle(ab2, cd2, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  const x3 = i8x16.shuffle(ab2, cd2, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  v128.store(to, x0);
  v128.store(to, x1, 16);
  v128.store(to, x2, 32);
  v128.store(to, x3, 48);
  return i32x4.dot_i16x8_s(i16x8.add(i16x8.add(x0, x1), i16x8.add(x2, x3)), i16x8.splat(-8));
}

function roundRow<S>(x: usize, to: usize, width: u32, scratch: usize): void {
  const blocks = blocksOf(width);
  const scales = scratch + (blocks << 5), spare = scales + (blocks << 1);
  // The last block may be short, and blocks beyond it are empty.
  memory.fill(scratch + ((width >> 5) << 5), 0, (blocks - (width >> 5)) << 5);
  memory.fill(scales, 0, blocks << 1);
  encodeRow(Q8_0, x, scratch, scales, width, spare);
  for (let i: usize = 0; i < blocks; i++) {
    const at = to + i * BLOCK_BYTES;
    const start = arrange<S>(scratch + (i << 5), at);
    v128.store(at, start, START);
    const scale = scaleOf(scales + (i << 1));
    store<f32>(at, scale, SCALE);
    store<i32>(at, sumInts(start), TOTAL);
    store<f32>(scalesOf(to, width) + (i << 2), scale);
  }
}

/**
 * Words: rows, rows per tile, width, x, rounded rows, what the weights' codes are; scratch of the threads, bytes of it per thread. Where
 * the product is none of integers, what is written is the rounded numbers.
 */
export function roundTile(command: usize, tile: u32, thread: u32): void {
  const width = word(command, 2), to = word(command, 4) as usize, kind = word(command, 5);
  const scratch = (word(command, 6) as usize) + thread * word(command, 7);
  const last = endOf(command, tile);
  for (let row: usize = firstOf(command, tile); row < last; row++) {
    const x = (word(command, 3) as usize) + ((row * width) << 2);
    if (kind == Q4_0_INTEGERS || kind == INT4_INTEGERS) roundRow<u8>(x, to + row * rowBytes(width), width, scratch);
    else if (isIntegers(kind)) roundRow<i8>(x, to + row * rowBytes(width), width, scratch);
    else {
      const scales = scratch + (blocksOf(width) << 5);
      encodeRow(Q8_0, x, scratch, scales, width, scales + (blocksOf(width) << 1));
      decodePlaced(Q8_0, scratch, scales, to + ((row * width) << 2), width);
    }
  }
}
