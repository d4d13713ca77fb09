// Four packed rows times one row of f32: codes become numbers in registers. `T`: i16 for f16, u16 for bf16, i8 for q8_0, u8 for q4_0.
import { copyWords, fillWords } from "./move";
import { codeBytes, fillUp } from "./packed-dot";
import { areSpecial, fromHalves, highFour, lowFour, scaleOf } from "./packed-halves";
import { madd, sumLanes4 } from "./simd";

/** Eight 16-bit codes times eight numbers, added to the sums. */
function addEight<T>(w: v128, x: v128, y: v128, sums: v128): v128 {
  if (isSigned<T>()) {
    const special = areSpecial(w);
    sums = madd(fromHalves(i32x4.extend_low_i16x8_s(w), special), x, sums);
    return madd(fromHalves(i32x4.extend_high_i16x8_s(w), special), y, sums);
  }
  return madd(highFour(w), y, madd(lowFour(w), x, sums));
}

/** Lanes: rows b0 to b3 times x, where a code is all there is of a number. */
export function floatDot4<T>(x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, scratch: usize): v128 {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  let left = width & 7, steps = width >> 3;
  for (;;) {
    for (; steps != 0; steps--) {
      const low = v128.load(x), high = v128.load(x, 16);
      c0 = addEight<T>(v128.load(b0), low, high, c0);
      c1 = addEight<T>(v128.load(b1), low, high, c1);
      c2 = addEight<T>(v128.load(b2), low, high, c2);
      c3 = addEight<T>(v128.load(b3), low, high, c3);
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

/** Sixteen int8 codes times numbers, added to the sums. */
function addSixteen(codes: v128, x0: v128, x1: v128, x2: v128, x3: v128, sums: v128): v128 {
  const low = i16x8.extend_low_i8x16_s(codes), high = i16x8.extend_high_i8x16_s(codes);
  sums = madd(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(low)), x0, sums);
  sums = madd(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(low)), x1, sums);
  sums = madd(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(high)), x2, sums);
  return madd(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(high)), x3, sums);
}

/** A block of codes times 32 numbers: the sums before they are scaled. */
function blockProduct<T>(b: usize, x: usize): v128 {
  let low = v128.load(b), high: v128;
  if (isSigned<T>()) {
    high = v128.load(b, 16);
  } else {
    const nibbles = v128.load(NIBBLES), eight = v128.load(EIGHTS);
    const even = i8x16.sub(v128.and(low, nibbles), eight), odd = i8x16.sub(v128.and(i16x8.shr_u(low, 4), nibbles), eight);
    low = i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    high = i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  const sums = addSixteen(low, v128.load(x), v128.load(x, 16), v128.load(x, 32), v128.load(x, 48), f32x4.splat(0));
  return addSixteen(high, v128.load(x, 64), v128.load(x, 80), v128.load(x, 96), v128.load(x, 112), sums);
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
      c0 = madd(blockProduct<T>(b0, x), f32x4.splat(scaleOf(s0)), c0);
      c1 = madd(blockProduct<T>(b1, x), f32x4.splat(scaleOf(s1)), c1);
      c2 = madd(blockProduct<T>(b2, x), f32x4.splat(scaleOf(s2)), c2);
      c3 = madd(blockProduct<T>(b3, x), f32x4.splat(scaleOf(s3)), c3);
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
