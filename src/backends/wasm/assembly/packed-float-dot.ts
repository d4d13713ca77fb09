// Four packed rows times one row of f32: codes become numbers in registers. `T`: i16 for f16, u16 for bf16, i8 for q8_0, u8 for q4_0.
import { copyWords, fillWords } from "./move";
import { codeBytes, fillUp } from "./packed-dot";
import { fromF16 } from "./packed-floats";
import { highFour, lowFour, normalHalves, scaleOf, specialOf } from "./packed-halves";
import { madd, sumLanes4 } from "./simd";

/** Eight 16-bit codes times eight numbers, added to the sums. */
function addEight<T>(w: v128, special: bool, x: v128, y: v128, sums: v128): v128 {
  if (!isSigned<T>()) return madd(highFour(w), y, madd(lowFour(w), x, sums));
  if (special) return addSpecial(w, x, y, sums);
  return madd(normalHalves(i32x4.extend_high_i16x8_s(w)), y, madd(normalHalves(i32x4.extend_low_i16x8_s(w)), x, sums));
}

function addSpecial(w: v128, x: v128, y: v128, sums: v128): v128 {
  return madd(fromF16(i32x4.extend_high_i16x8_u(w)), y, madd(fromF16(i32x4.extend_low_i16x8_u(w)), x, sums));
}

/** Whether there is an f16 among four times eight codes that is not plain to decode. */
function anySpecial<T>(w0: v128, w1: v128, w2: v128, w3: v128): bool {
  if (!isSigned<T>()) return false;
  return v128.any_true(v128.or(v128.or(specialOf(w0), specialOf(w1)), v128.or(specialOf(w2), specialOf(w3))));
}

/** Lanes: rows b0 to b3 times x, where a code is all there is of a number. */
export function floatDot4<T>(x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, scratch: usize): v128 {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  let left = width & 7, steps = width >> 3;
  for (;;) {
    for (; steps != 0; steps--) {
      const low = v128.load(x), high = v128.load(x, 16);
      const w0 = v128.load(b0), w1 = v128.load(b1), w2 = v128.load(b2), w3 = v128.load(b3);
      const special = anySpecial<T>(w0, w1, w2, w3);
      c0 = addEight<T>(w0, special, low, high, c0);
      c1 = addEight<T>(w1, special, low, high, c1);
      c2 = addEight<T>(w2, special, low, high, c2);
      c3 = addEight<T>(w3, special, low, high, c3);
      x += 32;
      b0 += 16;
      b1 += 16;
      b2 += 16;
      b3 += 16;
    }
    if (left == 0) break;
    const words = (left + 1) >> 1;
    x = fillUp(scratch, x, left);
    b0 = fillUp(scratch + 32, b0, words);
    b1 = fillUp(scratch + 64, b1, words);
    b2 = fillUp(scratch + 96, b2, words);
    b3 = fillUp(scratch + 128, b3, words);
    steps = 1;
    left = 0;
  }
  return sumLanes4(c0, c1, c2, c3);
}

/** What four codes stand for, exactly: codes of 8 bits and scales of 11 make 19. */
function scaled(codes: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(codes), scale);
}

/** Sixteen int8 codes times numbers, added to the sums. */
function addSixteen(codes: v128, scale: v128, x0: v128, x1: v128, x2: v128, x3: v128, sums: v128): v128 {
  const low = i16x8.extend_low_i8x16_s(codes), high = i16x8.extend_high_i8x16_s(codes);
  sums = madd(scaled(i32x4.extend_low_i16x8_s(low), scale), x0, sums);
  sums = madd(scaled(i32x4.extend_high_i16x8_s(low), scale), x1, sums);
  sums = madd(scaled(i32x4.extend_low_i16x8_s(high), scale), x2, sums);
  return madd(scaled(i32x4.extend_high_i16x8_s(high), scale), x3, sums);
}

/** A block of codes times 32 numbers, added to the sums. */
function addBlock<T>(b: usize, scale: v128, x: usize, sums: v128): v128 {
  let low = v128.load(b), high: v128;
  if (isSigned<T>()) {
    high = v128.load(b, 16);
  } else {
    const nibbles = v128.load(NIBBLES), eight = v128.load(EIGHTS);
    const even = i8x16.sub(v128.and(low, nibbles), eight), odd = i8x16.sub(v128.and(i16x8.shr_u(low, 4), nibbles), eight);
    low = i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    high = i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  sums = addSixteen(low, scale, v128.load(x), v128.load(x, 16), v128.load(x, 32), v128.load(x, 48), sums);
  return addSixteen(high, scale, v128.load(x, 64), v128.load(x, 80), v128.load(x, 96), v128.load(x, 112), sums);
}

const NIBBLES: usize = memory.data<u64>([0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f], 16);
const EIGHTS: usize = memory.data<u64>([0x0808080808080808, 0x0808080808080808], 16);

/** Lanes: rows b0 to b3 (scales s0 to s3) times x. */
export function scaledDot4<T>(
  x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, s0: usize, s1: usize, s2: usize, s3: usize, scratch: usize,
): v128 {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  let left = width & 31, blocks = width >> 5;
  for (;;) {
    for (; blocks != 0; blocks--) {
      c0 = addBlock<T>(b0, f32x4.splat(scaleOf(s0)), x, c0);
      c1 = addBlock<T>(b1, f32x4.splat(scaleOf(s1)), x, c1);
      c2 = addBlock<T>(b2, f32x4.splat(scaleOf(s2)), x, c2);
      c3 = addBlock<T>(b3, f32x4.splat(scaleOf(s3)), x, c3);
      x += 128;
      b0 += codeBytes<T>();
      b1 += codeBytes<T>();
      b2 += codeBytes<T>();
      b3 += codeBytes<T>();
      s0 += 2;
      s1 += 2;
      s2 += 2;
      s3 += 2;
    }
    if (left == 0) break;
    const perWord: u32 = isSigned<T>() ? 4 : 8, words = (left + perWord - 1) / perWord;
    b0 = fillUp(scratch, b0, words);
    b1 = fillUp(scratch + 32, b1, words);
    b2 = fillUp(scratch + 64, b2, words);
    b3 = fillUp(scratch + 96, b3, words);
    fillWords(scratch + 128, 0, 32);
    copyWords(scratch + 128, x, left);
    x = scratch + 128;
    blocks = 1;
    left = 0;
  }
  return sumLanes4(c0, c1, c2, c3);
}
