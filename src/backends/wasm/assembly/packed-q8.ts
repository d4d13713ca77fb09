// Rows packed by q8_0: int8 codes in blocks of 32, each with an f16 scale; a row begins on a word in both parts.
import { largestBits } from "./packed-blocks";
import { scaleAt, toScale } from "./packed-floats";
import { storePart } from "./move";

/** The numbers of one row. */
export function decodeQ8Row(codes: usize, scales: usize, to: usize, width: u32): void {
  for (let blocks = width >> 5; blocks != 0; blocks--) {
    const scale = scaleAt(scales);
    decodeEight(codes, to, scale);
    decodeEight(codes + 8, to + 32, scale);
    decodeEight(codes + 16, to + 64, scale);
    decodeEight(codes + 24, to + 96, scale);
    codes += 32;
    scales += 2;
    to += 128;
  }
  const left = width & 31;
  if (left == 0) return;
  const scale = scaleAt(scales);
  for (let quads = left >> 2; quads != 0; quads--) {
    v128.store(to, decodeFour(codes, scale));
    codes += 4;
    to += 16;
  }
  storePart(to, decodeFour(codes, scale), left & 3);
}

function decodeEight(codes: usize, to: usize, scale: v128): void {
  const wide = v128.load8x8_s(codes);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(wide)), scale));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(wide)), scale), 16);
}

function decodeFour(codes: usize, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(codes)))), scale);
}

/** The codes of 32 numbers; returns the bits of their scale. */
export function encodeQ8Block(x: usize, codes: usize): u32 {
  const d = reinterpret<f32>(largestBits(x)) / 127;
  const inverse = f32(1) / d;
  if (inverse > 0 && inverse < Infinity) {
    const by = f32x4.splat(inverse);
    for (let i: usize = 0; i < 32; i += 16) {
      const low = i16x8.narrow_i32x4_s(nearest(v128.load(x), by), nearest(v128.load(x, 16), by));
      const high = i16x8.narrow_i32x4_s(nearest(v128.load(x, 32), by), nearest(v128.load(x, 48), by));
      v128.store(codes + i, i8x16.narrow_i16x8_s(low, high));
      x += 64;
    }
  } else {
    // NaN, an infinity, or numbers so small that 1 / d overflows, as does 1 / 0.
    v128.store(codes, i32x4.splat(0));
    v128.store(codes, i32x4.splat(0), 16);
  }
  return toScale(d);
}

/** In f32 the numbers from here on to the next power of two are whole, and the lowest bits count them. */
const COUNTING: f32 = 12582912;

/**
 * x * by, at most 127 in magnitude, as whole numbers, halves away from zero: adding the number before 0.5 never rounds up what lies below a
 * half.
 */
function nearest(x: v128, by: v128): v128 {
  const scaled = f32x4.mul(x, by);
  const half = v128.or(v128.and(scaled, i32x4.splat(0x80000000)), f32x4.splat(0.49999997));
  const counted = f32x4.add(f32x4.trunc(f32x4.add(scaled, half)), f32x4.splat(COUNTING));
  return i32x4.sub(counted, f32x4.splat(COUNTING));
}
