// The codes of weights as numbers, sixteen at a time. Each kind of codes is a class, so that its loops are compiled apart from all others.
import { storePart } from "./move";
import { madd } from "./simd";

/** int8. */
export class Bytes {}
/** u8 less a zero point. */
export class ShiftedBytes {}
/** 4 bits that stand for the whole numbers of a table. */
export class Nibbles {}
/** 0..15 less a zero point. */
export class ShiftedNibbles {}
/** 0..15, with an offset that is added to the scaled number. */
export class OffsetNibbles {}
/** -16..15. */
export class FiveBits {}
/** 0..31, with an offset that is added to the scaled number. */
export class OffsetFives {}
/** -32..31. */
export class SixBits {}
export class E4m3 {}
export class E5m2 {}
/** 4 bits: a sign, two of an exponent, one more. */
export class E2m1 {}
/** 4 bits that stand for the numbers of NF4. */
export class NormalFloats {}

export function hasZero<C>(): bool {
  return idof<C>() == idof<ShiftedBytes>() || idof<C>() == idof<ShiftedNibbles>();
}
export function hasOffset<C>(): bool {
  return idof<C>() == idof<OffsetNibbles>() || idof<C>() == idof<OffsetFives>();
}
export function isSix<C>(): bool {
  return idof<C>() == idof<SixBits>();
}
function isNibble<C>(): bool {
  return idof<C>() == idof<Nibbles>() || idof<C>() == idof<ShiftedNibbles>() || idof<C>() == idof<OffsetNibbles>() || isE2m1<C>() || isNormal<C>();
}
function isFive<C>(): bool {
  return idof<C>() == idof<FiveBits>() || idof<C>() == idof<OffsetFives>();
}
function isNormal<C>(): bool {
  return idof<C>() == idof<NormalFloats>();
}
function isE2m1<C>(): bool {
  return idof<C>() == idof<E2m1>();
}
function isE4m3<C>(): bool {
  return idof<C>() == idof<E4m3>();
}
function isE5m2<C>(): bool {
  return idof<C>() == idof<E5m2>();
}

/** Bytes of sixteen codes. */
export function bytesOfSixteen<C>(): usize {
  return isNibble<C>() ? 8 : isFive<C>() ? 10 : isSix<C>() ? 12 : 16;
}

// Constants of inner loops are read from memory: as constants of the code they would be made anew for each use.
const NIBBLE: usize = memory.data<u64>([0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f], 16);
const THREES: usize = memory.data<u8>([0, 1, 2, 255, 3, 4, 5, 255, 6, 7, 8, 255, 9, 10, 11, 255], 16);
const SIX: usize = memory.data<u32>([0x3f, 0x3f00, 0x3f0000, 0x3f000000], 16);
const SIGN_OF_SIX: usize = memory.data<u64>([0x2020202020202020, 0x2020202020202020], 16);
/** Where each of eight codes of 5 bits lies: two bytes, and the power of two that takes it to their upper end. */
const FIVES: usize = memory.data<u8>([0, 1, 0, 1, 1, 2, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5], 16);
const FIVE_UP: usize = memory.data<u16>([2048, 64, 512, 16, 128, 1024, 32, 256], 16);
/** What the codes of NF4 stand for (quant/schemes/codebook.ts). */
const NF4_NUMBERS: usize = memory.data<f32>([
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
], 16);
/** The bits that a code of E4M3 or E5M2 has as an f32, and what these are too small by: 2^120 and 2^112. */
const FLOATS: usize = memory.data<u32>([0x87f00000, 0x7b800000, 0x8fe00000, 0x77800000], 16);
/** The sign and the other bits of E2M1, and what these are too small by: 2^126. */
const E2M1: usize = memory.data<u32>([0x80000000, 0x01c00000, 0x7e800000], 16);

/** Sixteen codes, a byte each; `table`: the numbers of Nibbles. */
export function sixteen<C>(at: usize, table: usize): v128 {
  if (isSix<C>()) {
    // Each lane has the three bytes of four codes.
    const threes = i8x16.swizzle(v128.load(at), v128.load(THREES));
    const first = v128.and(threes, v128.load32_splat(SIX)), second = v128.and(i32x4.shl(threes, 2), v128.load32_splat(SIX, 4));
    const third = v128.and(i32x4.shl(threes, 4), v128.load32_splat(SIX, 8)), last = v128.and(i32x4.shl(threes, 6), v128.load32_splat(SIX, 12));
    const sign = v128.load(SIGN_OF_SIX);
    return i8x16.sub(v128.xor(v128.or(v128.or(first, second), v128.or(third, last)), sign), sign);
  }
  if (isFive<C>()) {
    const low = eightFives<C>(v128.load64_zero(at)), high = eightFives<C>(v128.load64_zero(at, 5));
    return i8x16.narrow_i16x8_s(low, high);
  }
  if (isNibble<C>()) {
    const pairs = v128.load8x8_u(at);
    const codes = v128.and(v128.or(pairs, i16x8.shl(pairs, 4)), v128.load(NIBBLE));
    return idof<C>() == idof<Nibbles>() ? i8x16.swizzle(v128.load(table), codes) : codes;
  }
  return v128.load(at);
}

/** Eight codes of 5 bits, a lane of two bytes each. */
function eightFives<C>(bytes: v128): v128 {
  const upper = i16x8.mul(i8x16.swizzle(bytes, v128.load(FIVES)), v128.load(FIVE_UP));
  return idof<C>() == idof<FiveBits>() ? i16x8.shr_s(upper, 11) : i16x8.shr_u(upper, 11);
}

/** Whether one of sixteen codes is an infinity or NaN. */
function anySpecial<C>(codes: v128): bool {
  if (isE4m3<C>()) return v128.any_true(i8x16.eq(v128.and(codes, i8x16.splat(0x7f)), i8x16.splat(0x7f)));
  if (isE5m2<C>()) return v128.any_true(i8x16.gt_s(v128.and(codes, i8x16.splat(0x7f)), i8x16.splat(0x7b)));
  return false;
}

/** What four codes stand for, before they are scaled. As the bits of an f32 those of FP8 and FP4 are too small by a power of two, subnormals too. */
function valuesOf<C>(codes: v128, special: bool): v128 {
  if (isE4m3<C>()) {
    const values = f32x4.mul(v128.and(i32x4.shl(codes, 20), v128.load32_splat(FLOATS)), v128.load32_splat(FLOATS, 4));
    if (!special) return values;
    const magnitude = v128.and(codes, i32x4.splat(0x7f));
    return v128.or(values, v128.and(i32x4.eq(magnitude, i32x4.splat(0x7f)), i32x4.splat(0x7fc00000)));
  }
  if (isE5m2<C>()) {
    const values = f32x4.mul(v128.and(i32x4.shl(codes, 21), v128.load32_splat(FLOATS, 8)), v128.load32_splat(FLOATS, 12));
    if (!special) return values;
    const magnitude = v128.and(codes, i32x4.splat(0x7f));
    return v128.or(values, v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7b)), i32x4.splat(0x7f800000)));
  }
  if (isNormal<C>()) {
    const at = i32x4.add(i32x4.shl(codes, 2), i32x4.splat(NF4_NUMBERS as i32));
    let values = v128.load32_zero(i32x4.extract_lane(at, 0));
    values = v128.load_lane<f32>(i32x4.extract_lane(at, 1), values, 1);
    values = v128.load_lane<f32>(i32x4.extract_lane(at, 2), values, 2);
    return v128.load_lane<f32>(i32x4.extract_lane(at, 3), values, 3);
  }
  if (isE2m1<C>()) {
    const sign = v128.and(i32x4.shl(codes, 28), v128.load32_splat(E2M1)), rest = v128.and(i32x4.shl(codes, 22), v128.load32_splat(E2M1, 4));
    return f32x4.mul(v128.or(sign, rest), v128.load32_splat(E2M1, 8));
  }
  return f32x4.convert_i32x4_s(codes);
}

/** What they stand for under a scale, each step rounded. */
function numbersOf<C>(codes: v128, special: bool, scale: v128, offset: v128): v128 {
  const scaled = f32x4.mul(valuesOf<C>(codes, special), scale);
  return hasOffset<C>() ? f32x4.add(scaled, offset) : scaled;
}

function lowEight<C>(codes: v128, zero: v128): v128 {
  if (idof<C>() == idof<ShiftedBytes>()) return i16x8.sub(i16x8.extend_low_i8x16_u(codes), zero);
  return hasZero<C>() ? i16x8.sub(i16x8.extend_low_i8x16_s(codes), zero) : i16x8.extend_low_i8x16_s(codes);
}

function highEight<C>(codes: v128, zero: v128): v128 {
  if (idof<C>() == idof<ShiftedBytes>()) return i16x8.sub(i16x8.extend_high_i8x16_u(codes), zero);
  return hasZero<C>() ? i16x8.sub(i16x8.extend_high_i8x16_s(codes), zero) : i16x8.extend_high_i8x16_s(codes);
}

/** Sixteen numbers times sixteen of x, added to the sums. `zero`: eight i16; `scale`, `offset`: four f32. */
export function addSixteen<C>(codes: v128, zero: v128, scale: v128, offset: v128, x: usize, sums: v128): v128 {
  const low = lowEight<C>(codes, zero), high = highEight<C>(codes, zero), special = anySpecial<C>(codes);
  sums = madd(numbersOf<C>(i32x4.extend_low_i16x8_s(low), special, scale, offset), v128.load(x), sums);
  sums = madd(numbersOf<C>(i32x4.extend_high_i16x8_s(low), special, scale, offset), v128.load(x, 16), sums);
  sums = madd(numbersOf<C>(i32x4.extend_low_i16x8_s(high), special, scale, offset), v128.load(x, 32), sums);
  return madd(numbersOf<C>(i32x4.extend_high_i16x8_s(high), special, scale, offset), v128.load(x, 48), sums);
}

/** Sixteen numbers, of which the first `left` are stored. */
export function storeSixteen<C>(codes: v128, zero: v128, scale: v128, offset: v128, to: usize, left: u32): void {
  const low = lowEight<C>(codes, zero), high = highEight<C>(codes, zero), special = anySpecial<C>(codes);
  const a = numbersOf<C>(i32x4.extend_low_i16x8_s(low), special, scale, offset);
  const b = numbersOf<C>(i32x4.extend_high_i16x8_s(low), special, scale, offset);
  const c = numbersOf<C>(i32x4.extend_low_i16x8_s(high), special, scale, offset);
  const d = numbersOf<C>(i32x4.extend_high_i16x8_s(high), special, scale, offset);
  if (left >= 16) {
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
    return;
  }
  storeUpTo(to, a, left);
  if (left > 4) storeUpTo(to + 16, b, left - 4);
  if (left > 8) storeUpTo(to + 32, c, left - 8);
  if (left > 12) storePart(to + 48, d, left - 12);
}

function storeUpTo(to: usize, x: v128, count: u32): void {
  if (count >= 4) v128.store(to, x);
  else storePart(to, x, count);
}
