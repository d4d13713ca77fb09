// Rows of f16 and of bf16, two codes to a word, and what any scheme whose scales are f16 needs. A row begins on a word.
import { storePart } from "./move";
import { firstLanes } from "./rows";

/** The numbers that four codes of f16 stand for, one in the lower half of each lane. NaN keeps its payload. */
export function fromF16(codes: v128): v128 {
  const magnitude = v128.and(codes, i32x4.splat(0x7fff));
  const shifted = i32x4.shl(magnitude, 13);
  const normal = i32x4.add(shifted, i32x4.splat(0x38000000)); // the exponent's bias rises from 15 to 127
  const top = v128.or(shifted, i32x4.splat(0x7f800000));
  // Below 2^-14 a code counts steps of 2^-24: those of an f32 from 2^-14 on. A subtraction makes such
  // numbers, since processors are slow to multiply subnormal ones, and a small scale is one.
  const counted = f32x4.sub(i32x4.add(shifted, i32x4.splat(0x38800000)), f32x4.splat(6.103515625e-5));
  const finite = v128.bitselect(counted, normal, i32x4.lt_s(magnitude, i32x4.splat(0x400)));
  const number = v128.bitselect(top, finite, i32x4.ge_s(magnitude, i32x4.splat(0x7c00)));
  return v128.or(number, i32x4.shl(v128.xor(codes, magnitude), 16));
}

/** The scale of a block, in all lanes. */
export function scaleAt(at: usize): v128 {
  return fromF16(i32x4.splat(load<u16>(at)));
}

/** The f16 nearest to each of four numbers, ties to even, in the lower half of its lane. */
function toF16(x: v128): v128 {
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff - 0x38000000)), odd), 13);
  // From 0.5 on, steps are of 2^-24, those of the f16 below 2^-14: the sum is rounded to them.
  const counted = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), f32x4.splat(0.5));
  const finite = v128.bitselect(counted, rounded, i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  // 65520 lies halfway between 65504 and the next power of two.
  const bounded = v128.bitselect(i32x4.splat(0x7c00), finite, i32x4.ge_s(magnitude, i32x4.splat(0x477ff000)));
  const payload = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(0x1ff));
  const none = v128.or(payload, i32x4.splat(0x7e00));
  return v128.or(sign, v128.bitselect(none, bounded, i32x4.gt_s(magnitude, i32x4.splat(0x7f800000))));
}

/** The f16 nearest to a scale. All NaN are one. */
export function toScale(d: f32): u32 {
  return d != d ? 0x7e00 : (i32x4.extract_lane(toF16(f32x4.splat(d)), 0) as u32);
}

/** The bf16 nearest to each of four numbers, ties to even, in the lower half of its lane. */
function toBf16(x: v128): v128 {
  const upper = i32x4.shr_u(x, 16);
  const odd = v128.and(upper, i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16);
  return v128.bitselect(v128.or(upper, i32x4.splat(0x40)), rounded, f32x4.ne(x, x));
}

/** The numbers of eight codes of bf16, which are their upper halves. The order of the shuffles is that of one instruction. */
function storeBf16(codes: v128, to: usize): void {
  const zero = i32x4.splat(0);
  v128.store(to, i8x16.shuffle(zero, codes, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
  v128.store(to, i8x16.shuffle(zero, codes, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31), 16);
}

/** The mask of the bits that a code of f16 sets as an f32, and the bits of 2^112. Engines make what is no load anew in each round of a loop. */
const CONSTANTS = memory.data<u32>([0x8fffe000, 0x77800000]);

/** The numbers of one row of f16 codes. */
export function decodeF16Row(codes: usize, to: usize, width: u32): void {
  const done = decodeFinite(codes, to, width >> 3) ? width & ~7 : 0;
  decodeFours(codes + (done << 1), to + (done << 2), width - done, true);
}

/** The numbers of `eights` times eight codes of f16. Returns whether they are right, which those of infinities and NaN are not. */
function decodeFinite(codes: usize, to: usize, eights: u32): bool {
  let largest = i32x4.splat(0);
  const mask = v128.load32_splat(CONSTANTS), by = v128.load32_splat(CONSTANTS, 4);
  for (; eights != 0; eights--) {
    const eight = v128.load(codes);
    largest = i16x8.max_u(largest, i16x8.shl(eight, 1));
    // As the bits of an f32 they are 2^112 times too small, subnormals too.
    v128.store(to, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_low_i16x8_s(eight), 13), mask), by));
    v128.store(to, f32x4.mul(v128.and(i32x4.shl(i32x4.extend_high_i16x8_s(eight), 13), mask), by), 16);
    codes += 16;
    to += 32;
  }
  return !v128.any_true(i16x8.ge_u(largest, i16x8.splat(-0x800)));
}

/** The numbers of one row of bf16 codes, which are their upper halves. */
export function decodeBf16Row(codes: usize, to: usize, width: u32): void {
  const zero = i32x4.splat(0);
  for (let i = width >> 3; i != 0; i--) {
    const eight = v128.load(codes);
    // Each of these orders is one instruction.
    v128.store(to, i8x16.shuffle(zero, eight, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23));
    v128.store(to, i8x16.shuffle(zero, eight, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31), 16);
    codes += 16;
    to += 32;
  }
  decodeFours(codes, to, width & 7, false);
}

function decodeFours(codes: usize, to: usize, width: u32, half: bool): void {
  for (let quads = width >> 2; quads != 0; quads--) {
    v128.store(to, fourAt(codes, half));
    codes += 8;
    to += 16;
  }
  if (width & 3) storePart(to, fourAt(codes, half), width & 3);
}

function fourAt(codes: usize, half: bool): v128 {
  const wide = v128.load16x4_u(codes);
  return half ? fromF16(wide) : i32x4.shl(wide, 16);
}

function toCodes(x: v128, half: bool): v128 {
  return half ? toF16(x) : toBf16(x);
}

/** `width` numbers as f16 codes if `half`, else as bf16. */
export function encodeFloats(x: usize, codes: usize, width: u32, half: bool): void {
  for (let i = width >> 3; i != 0; i--) {
    v128.store(codes, i16x8.narrow_i32x4_u(toCodes(v128.load(x), half), toCodes(v128.load(x, 16), half)));
    x += 32;
    codes += 16;
  }
  if (width & 4) {
    const four = toCodes(v128.load(x), half);
    v128.store64_lane(codes, i16x8.narrow_i32x4_u(four, four), 0);
    x += 16;
    codes += 8;
  }
  // What is left of the last word is 0, as is the code of 0.
  const few = toCodes(v128.and(v128.load(x), firstLanes(width & 3)), half);
  storePart(codes, i16x8.narrow_i32x4_u(few, few), ((width & 3) + 1) >> 1);
}
