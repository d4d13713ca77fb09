// Four rows of int8 codes or nibbles (`S`: i8, u8) times one rounded row of x: integers within a block of 32, their products with both scales
// summed in f32. The integers are those of both builds.
import { blocksOf, scalesOf, startsOf } from "./packed-activations";
import { fromF16 } from "./packed";
import { firstWords, fromHalves } from "./packed-floats";
import { madd, sumLanes4 } from "./simd";

/** Bytes of a block's codes. */
export function codeBytes<S>(): usize {
  return isSigned<S>() ? 32 : 16;
}

/** The integer sums of one block: 16 bytes of nibbles, or 32 of int8. */
function blockSums<S>(w: v128, v: v128, x0: v128, x1: v128, x2: v128, x3: v128, start: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (isSigned<S>()) {
      const sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(w, x2), x0, start);
      return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(v, x3), x1, sums);
    }
    const mask = i8x16.splat(15);
    const sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(x0, v128.and(w, mask), start);
    return i32x4.relaxed_dot_i8x16_i7x16_add_s(x1, v128.and(i16x8.shr_u(w, 4), mask), sums);
  }
  let a: v128, b: v128, c: v128, d: v128;
  if (isSigned<S>()) {
    a = i16x8.extend_low_i8x16_s(w);
    b = i16x8.extend_high_i8x16_s(w);
    c = i16x8.extend_low_i8x16_s(v);
    d = i16x8.extend_high_i8x16_s(v);
  } else {
    const mask = i16x8.splat(15);
    a = v128.and(w, mask);
    b = v128.and(i16x8.shr_u(w, 4), mask);
    c = v128.and(i16x8.shr_u(w, 8), mask);
    d = i16x8.shr_u(w, 12);
  }
  const first = i32x4.add(i32x4.dot_i16x8_s(a, x0), i32x4.dot_i16x8_s(b, x1));
  return i32x4.add(i32x4.add(start, first), i32x4.add(i32x4.dot_i16x8_s(c, x2), i32x4.dot_i16x8_s(d, x3)));
}

/** The scales of four blocks times those of x. */
function fourScales(scales: usize, times: v128): v128 {
  return f32x4.mul(fromHalves(i32x4.extend_low_i16x8_s(v128.load64_zero(scales))), times);
}

/** One block of a row, added to its sums. */
function addBlock<S>(b: usize, scale: v128, x0: v128, x1: v128, x2: v128, x3: v128, start: v128, sums: v128): v128 {
  const w = v128.load(b);
  const v = isSigned<S>() ? v128.load(b, 16) : w;
  return madd(f32x4.convert_i32x4_s(blockSums<S>(w, v, x0, x1, x2, x3, start)), scale, sums);
}

/** One of the last blocks, which may be short: `words` of codes. */
function addShort<S>(b: usize, words: u32, scale: f32, x: usize, start: v128, sums: v128): v128 {
  const w = firstWords(b, words);
  const v = isSigned<S>() ? firstWords(b + 16, words > 4 ? words - 4 : 0) : w;
  const integers = blockSums<S>(w, v, v128.load(x), v128.load(x, 16), v128.load(x, 32), v128.load(x, 48), start);
  return madd(f32x4.convert_i32x4_s(integers), f32x4.splat(scale), sums);
}

/** Lanes: rows b0 to b3 (scales s0 to s3) times the rounded row x. */
export function integerDot4<S>(
  x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, s0: usize, s1: usize, s2: usize, s3: usize,
): v128 {
  let starts = startsOf(x, width), scales = scalesOf(x, width);
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  for (let quads = width >> 7; quads != 0; quads--) {
    const times = v128.load(scales);
    const f0 = fourScales(s0, times), f1 = fourScales(s1, times), f2 = fourScales(s2, times), f3 = fourScales(s3, times);
    let x0 = v128.load(x), x1 = v128.load(x, 16), x2 = v128.load(x, 32), x3 = v128.load(x, 48), start = v128.load(starts);
    c0 = addBlock<S>(b0, lane0(f0), x0, x1, x2, x3, start, c0);
    c1 = addBlock<S>(b1, lane0(f1), x0, x1, x2, x3, start, c1);
    c2 = addBlock<S>(b2, lane0(f2), x0, x1, x2, x3, start, c2);
    c3 = addBlock<S>(b3, lane0(f3), x0, x1, x2, x3, start, c3);
    x0 = v128.load(x, 64), x1 = v128.load(x, 80), x2 = v128.load(x, 96), x3 = v128.load(x, 112), start = v128.load(starts, 16);
    c0 = addBlock<S>(b0 + codeBytes<S>(), lane1(f0), x0, x1, x2, x3, start, c0);
    c1 = addBlock<S>(b1 + codeBytes<S>(), lane1(f1), x0, x1, x2, x3, start, c1);
    c2 = addBlock<S>(b2 + codeBytes<S>(), lane1(f2), x0, x1, x2, x3, start, c2);
    c3 = addBlock<S>(b3 + codeBytes<S>(), lane1(f3), x0, x1, x2, x3, start, c3);
    x0 = v128.load(x, 128), x1 = v128.load(x, 144), x2 = v128.load(x, 160), x3 = v128.load(x, 176), start = v128.load(starts, 32);
    c0 = addBlock<S>(b0 + 2 * codeBytes<S>(), lane2(f0), x0, x1, x2, x3, start, c0);
    c1 = addBlock<S>(b1 + 2 * codeBytes<S>(), lane2(f1), x0, x1, x2, x3, start, c1);
    c2 = addBlock<S>(b2 + 2 * codeBytes<S>(), lane2(f2), x0, x1, x2, x3, start, c2);
    c3 = addBlock<S>(b3 + 2 * codeBytes<S>(), lane2(f3), x0, x1, x2, x3, start, c3);
    x0 = v128.load(x, 192), x1 = v128.load(x, 208), x2 = v128.load(x, 224), x3 = v128.load(x, 240), start = v128.load(starts, 48);
    c0 = addBlock<S>(b0 + 3 * codeBytes<S>(), lane3(f0), x0, x1, x2, x3, start, c0);
    c1 = addBlock<S>(b1 + 3 * codeBytes<S>(), lane3(f1), x0, x1, x2, x3, start, c1);
    c2 = addBlock<S>(b2 + 3 * codeBytes<S>(), lane3(f2), x0, x1, x2, x3, start, c2);
    c3 = addBlock<S>(b3 + 3 * codeBytes<S>(), lane3(f3), x0, x1, x2, x3, start, c3);
    x += 256;
    starts += 64;
    scales += 16;
    b0 += 4 * codeBytes<S>();
    b1 += 4 * codeBytes<S>();
    b2 += 4 * codeBytes<S>();
    b3 += 4 * codeBytes<S>();
    s0 += 8;
    s1 += 8;
    s2 += 8;
    s3 += 8;
  }
  const perWord: u32 = isSigned<S>() ? 4 : 8;
  for (let left = width & 127; left != 0; left -= min(left, 32)) {
    const words = (min(left, 32) + perWord - 1) / perWord;
    const scale = load<f32>(scales), start = v128.load(starts);
    c0 = addShort<S>(b0, words, fromF16(load<u16>(s0)) * scale, x, start, c0);
    c1 = addShort<S>(b1, words, fromF16(load<u16>(s1)) * scale, x, start, c1);
    c2 = addShort<S>(b2, words, fromF16(load<u16>(s2)) * scale, x, start, c2);
    c3 = addShort<S>(b3, words, fromF16(load<u16>(s3)) * scale, x, start, c3);
    x += 64;
    starts += 16;
    scales += 4;
    b0 += codeBytes<S>();
    b1 += codeBytes<S>();
    b2 += codeBytes<S>();
    b3 += codeBytes<S>();
    s0 += 2;
    s1 += 2;
    s2 += 2;
    s3 += 2;
  }
  return sumLanes4(c0, c1, c2, c3);
}

function lane0(x: v128): v128 {
  return i8x16.shuffle(x, x, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
}

function lane1(x: v128): v128 {
  return i8x16.shuffle(x, x, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
}

function lane2(x: v128): v128 {
  return i8x16.shuffle(x, x, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11, 8, 9, 10, 11);
}

function lane3(x: v128): v128 {
  return i8x16.shuffle(x, x, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
}
