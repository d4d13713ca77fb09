// Four packed rows times one row of f32: codes become numbers in registers. `T`: i16 for f16, u16 for bf16, i8 for q8_0, u8 for q4_0.
import { fromF16 } from "./packed";
import { firstWords, highFour, lowFour } from "./packed-floats";
import { madd, sumLanes4 } from "./simd";

/** Eight 16-bit codes times eight numbers, added to the sums. */
function addEight<T>(w: v128, x: v128, y: v128, sums: v128): v128 {
  return madd(highFour<T>(w), y, madd(lowFour<T>(w), x, sums));
}

/** Lanes: rows b0 to b3 times x, where a code is all there is of a number. */
export function floatDot4<T>(x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize): v128 {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (let i = width >> 3; i != 0; i--) {
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
  const left = width & 7;
  if (left != 0) {
    const words = (left + 1) >> 1;
    const low = firstWords(x, left), high = firstWords(x + 16, left > 4 ? left - 4 : 0);
    c0 = addEight<T>(firstWords(b0, words), low, high, c0);
    c1 = addEight<T>(firstWords(b1, words), low, high, c1);
    c2 = addEight<T>(firstWords(b2, words), low, high, c2);
    c3 = addEight<T>(firstWords(b3, words), low, high, c3);
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

/** The int8 codes 16 `half` to 16 `half` + 15 of a block of which `words` words are there. */
function sixteenCodes<T>(b: usize, words: u32, half: u32): v128 {
  if (isSigned<T>()) return firstWords(b + (half << 4), words > 4 * half ? words - 4 * half : 0);
  const w = firstWords(b, words), mask = i8x16.splat(15);
  const low = v128.and(w, mask), high = v128.and(i16x8.shr_u(w, 4), mask);
  const codes = half == 0
    ? i8x16.shuffle(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
    : i8x16.shuffle(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return i8x16.sub(codes, i8x16.splat(8));
}

/** Lanes: rows b0 to b3 (scales s0 to s3) times x. */
export function scaledDot4<T>(
  x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, s0: usize, s1: usize, s2: usize, s3: usize,
): v128 {
  const bytes: usize = isSigned<T>() ? 32 : 16, perWord: u32 = isSigned<T>() ? 4 : 8;
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (let left = width; left != 0; left -= min(left, 32)) {
    const here = min(left, 32), words = (here + perWord - 1) / perWord;
    let d0 = f32x4.splat(0), d1 = d0, d2 = d0, d3 = d0;
    for (let half: u32 = 0; half < 2; half++) {
      const there = here > 16 * half ? here - 16 * half : 0;
      const x0 = firstWords(x, there), x1 = firstWords(x + 16, max(there, 4) - 4);
      const x2 = firstWords(x + 32, max(there, 8) - 8), x3 = firstWords(x + 48, max(there, 12) - 12);
      d0 = addSixteen(sixteenCodes<T>(b0, words, half), x0, x1, x2, x3, d0);
      d1 = addSixteen(sixteenCodes<T>(b1, words, half), x0, x1, x2, x3, d1);
      d2 = addSixteen(sixteenCodes<T>(b2, words, half), x0, x1, x2, x3, d2);
      d3 = addSixteen(sixteenCodes<T>(b3, words, half), x0, x1, x2, x3, d3);
      x += 64;
    }
    c0 = madd(d0, f32x4.splat(fromF16(load<u16>(s0))), c0);
    c1 = madd(d1, f32x4.splat(fromF16(load<u16>(s1))), c1);
    c2 = madd(d2, f32x4.splat(fromF16(load<u16>(s2))), c2);
    c3 = madd(d3, f32x4.splat(fromF16(load<u16>(s3))), c3);
    b0 += bytes;
    b1 += bytes;
    b2 += bytes;
    b3 += bytes;
    s0 += 2;
    s1 += 2;
    s2 += 2;
    s3 += 2;
  }
  return sumLanes4(c0, c1, c2, c3);
}
