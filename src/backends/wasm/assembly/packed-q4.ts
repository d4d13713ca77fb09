// Rows packed by q4_0: codes 0..15 for -8..7 in blocks of 32, each with an f16 scale; a row begins on a word in both parts.
import { largestBits } from "./packed-blocks";
import { scaleAt, toScale } from "./packed-floats";
import { storePart } from "./move";

/** The numbers of one row. */
export function decodeQ4Row(codes: usize, scales: usize, to: usize, width: u32): void {
  for (let blocks = width >> 5; blocks != 0; blocks--) {
    const scale = scaleAt(scales);
    decodeSixteen(codes, to, scale);
    decodeSixteen(codes + 8, to + 64, scale);
    codes += 16;
    scales += 2;
    to += 128;
  }
  const left = width & 31;
  if (left == 0) return;
  const scale = scaleAt(scales);
  for (let quads = left >> 2; quads != 0; quads--) {
    v128.store(to, decodeFour(codes, scale));
    codes += 2;
    to += 16;
  }
  storePart(to, decodeFour(codes, scale), left & 3);
}

/** What the 16 codes of the first 8 bytes stand for, -8..7, as bytes. */
function signedCodes(bytes: v128): v128 {
  const mask = i8x16.splat(15);
  const even = v128.and(bytes, mask), odd = v128.and(i16x8.shr_u(bytes, 4), mask);
  return i8x16.sub(i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), i8x16.splat(8));
}

function decodeSixteen(codes: usize, to: usize, scale: v128): void {
  const bytes = signedCodes(v128.load64_zero(codes));
  const low = i16x8.extend_low_i8x16_s(bytes), high = i16x8.extend_high_i8x16_s(bytes);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), scale));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), scale), 16);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), scale), 32);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), scale), 48);
}

function decodeFour(codes: usize, scale: v128): v128 {
  const bytes = signedCodes(i32x4.splat(load<u16>(codes)));
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(bytes))), scale);
}

/** The codes of 32 numbers, of which the first `count` are part of the row; returns the bits of their scale. */
export function encodeQ4Block(x: usize, codes: usize, count: u32): u32 {
  const d = extremeOf(x) / -8;
  const by = f32x4.splat(d == 0 ? f32(0) : f32(1) / d);
  const indices = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const first = v128.and(sixteenCodes(x, by), i8x16.lt_s(indices, i8x16.splat(count as i8)));
  const second = v128.and(sixteenCodes(x + 64, by), i8x16.lt_s(indices, i8x16.splat((count as i8) - 16)));
  v128.store(codes, i8x16.narrow_i16x8_u(inPairs(first), inPairs(second)));
  return toScale(d);
}

/** The first of the numbers with the largest magnitude; NaN if there is one, and 0 of zeros. */
function extremeOf(x: usize): f32 {
  const most = largestBits(x);
  if (most == 0 || most > 0x7f800000) return reinterpret<f32>(most);
  const wanted = i32x4.splat(most), clear = i32x4.splat(0x7fffffff);
  while (!v128.any_true(i32x4.eq(v128.and(v128.load(x), clear), wanted))) x += 16;
  return load<f32>(x + (ctz(i32x4.bitmask(i32x4.eq(v128.and(v128.load(x), clear), wanted))) << 2));
}

/** trunc(x * by + 8.5), at least 0 and at most 15; 0 of NaN. */
function sixteenCodes(x: usize, by: v128): v128 {
  const low = i16x8.narrow_i32x4_s(shifted(x, by), shifted(x + 16, by));
  const high = i16x8.narrow_i32x4_s(shifted(x + 32, by), shifted(x + 48, by));
  return i8x16.min_u(i8x16.narrow_i16x8_u(low, high), i8x16.splat(15));
}

function shifted(x: usize, by: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.add(f32x4.mul(v128.load(x), by), f32x4.splat(8.5)));
}

/** Two codes that lie in neighbouring bytes become the lower byte of their 16 bits. */
function inPairs(codes: v128): v128 {
  return v128.and(v128.or(codes, i16x8.shr_u(codes, 4)), i16x8.splat(255));
}
