// Rows packed by q8_0 in plain order: int8 codes in blocks of 32, each with an f16 scale; a row begins on a word in both parts.
import { word } from "./command";
import { copyWords, fillWords, storePart } from "./move";

const BLOCK: u32 = 32;
/** Numbers that are encoded at a time: whole words of both parts. */
const PIECE: u32 = 2048;

/** The number that 16 bits of an f16 stand for. */
export function fromF16(bits: u32): f32 {
  const magnitude = bits & 0x7fff;
  // As the bits of an f32 it is 2^112 times too small, subnormals too; infinity and NaN are put in by their exponent.
  const scaled = reinterpret<u32>(reinterpret<f32>(magnitude << 13) * 5.192296858534828e33);
  return reinterpret<f32>(scaled | select<u32>(0x7f800000, 0, magnitude >= 0x7c00) | ((bits & 0x8000) << 16));
}

/** The bits of the f16 nearest to x, which is no number below 0; ties to even. All NaN are one. */
function toF16(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  if (x != x) return 0x7e00;
  if (bits >= 0x477ff000) return 0x7c00; // 65520 lies halfway between 65504 and the next power of two
  // Below 2^-14 it counts steps of 2^-24: the sum with 1.5 * 2^23 is rounded to whole ones.
  if (bits < 0x38800000) return reinterpret<u32>(x * 16777216.0 + 12582912.0) & 0x3fffff;
  return (bits - 0x38000000 + 0xfff + ((bits >> 13) & 1)) >> 13;
}

/** The numbers of one packed row. */
export function decodeQ8Row(codes: usize, scales: usize, to: usize, width: u32): void {
  for (let blocks = width >> 5; blocks != 0; blocks--) {
    const scale = f32x4.splat(fromF16(load<u16>(scales)));
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
  const scale = f32x4.splat(fromF16(load<u16>(scales)));
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
function encodeBlock(x: usize, codes: usize): u32 {
  // Without their signs numbers lie in the order of their bits, and NaN above all.
  const clear = i32x4.splat(0x7fffffff);
  let a = i32x4.splat(0), b = a;
  for (let i: usize = 0; i < 128; i += 32) {
    a = i32x4.max_s(a, v128.and(v128.load(x + i), clear));
    b = i32x4.max_s(b, v128.and(v128.load(x + i, 16), clear));
  }
  a = i32x4.max_s(a, b);
  a = i32x4.max_s(a, i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  a = i32x4.max_s(a, i8x16.shuffle(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  const d = f32x4.extract_lane(a, 0) / 127;
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
  return toF16(d);
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

/** `width` numbers, a row or its part of whole pieces. `scratch`: 160 bytes. */
export function encodeQ8Row(x: usize, codes: usize, scales: usize, width: u32, scratch: usize): void {
  for (let blocks = width >> 5; blocks != 0; blocks--) {
    store<u16>(scales, encodeBlock(x, codes) as u16);
    x += 128;
    codes += 32;
    scales += 2;
  }
  const left = width & 31;
  if (left != 0) {
    fillWords(scratch, 0, BLOCK);
    copyWords(scratch, x, left);
    store<u16>(scales, encodeBlock(scratch, scratch + 128) as u16);
    copyWords(codes, scratch + 128, (left + 3) >> 2);
    scales += 2;
  }
  if (((width + 31) >> 5) & 1) store<u16>(scales, 0);
}

/** Words: x, codes, scales; rows, numbers in a row; words of codes and of scales in it; pieces per tile; scratch, bytes per thread. */
export function quantizeTile(command: usize, tile: u32, thread: u32): void {
  const width = word(command, 4), perTile = word(command, 7);
  const pieces = (width + PIECE - 1) / PIECE;
  const scratch = (word(command, 8) as usize) + thread * word(command, 9);
  const last = min(word(command, 3) * pieces, (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const row = item / pieces;
    const from = (item - row * pieces) * PIECE;
    const x = (word(command, 0) as usize) + (((row as usize) * width + from) << 2);
    const codes = (word(command, 1) as usize) + (((row as usize) * word(command, 5)) << 2) + from;
    const scales = (word(command, 2) as usize) + (((row as usize) * word(command, 6)) << 2) + (from >> 4);
    encodeQ8Row(x, codes, scales, min(PIECE, width - from), scratch);
  }
}
