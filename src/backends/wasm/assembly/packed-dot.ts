// Four rows of int8 codes or nibbles times one rounded row of x: integers within a block of 32, their products with both scales summed in f32.
// The integers are those of both builds. `S`: i8 for q8_0, i16 for int8, whose rows have one scale, u8 for q4_0, u16 for int4, whose nibbles are
// signed.
import * as layout from "../layout";
import { copyWords } from "./move";
import { BLOCK_BYTES, START, scalesOf } from "./packed-activations";
import { fromHalves, scaleOf, specialOf } from "./packed-halves";
import { madd, sumLanes4 } from "./simd";

const NIBBLE: usize = memory.data<u16>([15]);
/** Makes nibbles of int4 those of q4_0. */
const SIGNS: usize = memory.data<u8>([0x88]);

/** Bytes of a block's codes. */
export function codeBytes<S>(): usize {
  return isSigned<S>() ? 32 : 16;
}

/** Bytes from a block's scale to the next. */
export function scaleBytes<S>(): usize {
  return isSigned<S>() && sizeof<S>() == 2 ? 0 : 2;
}

/** The scale of a row's block. */
export function blockScale<S>(at: usize): f32 {
  return scaleBytes<S>() == 0 ? load<f32>(at) : scaleOf(at);
}

/** Sixteen bytes of codes. */
export function loadCodes<S>(at: usize): v128 {
  const codes = v128.load(at);
  return !isSigned<S>() && sizeof<S>() == 2 ? v128.xor(codes, v128.load_splat<u8>(SIGNS)) : codes;
}

/** The integer sums of one block: 16 bytes of nibbles, or 32 of int8. */
function blockSums<S>(w: v128, v: v128, x0: v128, x1: v128, x2: v128, x3: v128, start: v128, mask: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) {
    if (isSigned<S>()) {
      const sums = i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(w, x2), x0, start);
      return i32x4.relaxed_dot_i8x16_i7x16_add_s(v128.xor(v, x3), x1, sums);
    }
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
    a = v128.and(w, mask);
    b = v128.and(i16x8.shr_u(w, 4), mask);
    c = v128.and(i16x8.shr_u(w, 8), mask);
    d = i16x8.shr_u(w, 12);
  }
  const first = i32x4.add(i32x4.dot_i16x8_s(a, x0), i32x4.dot_i16x8_s(b, x1));
  return i32x4.add(i32x4.add(start, first), i32x4.add(i32x4.dot_i16x8_s(c, x2), i32x4.dot_i16x8_s(d, x3)));
}

/** Blocks whose scales are multiplied at a time; a row's products lie one after the other, and rows a fifth of the scratch memory apart. */
const CHUNK: u32 = 32;
const ROW: usize = layout.DOT_SCRATCH / 5;

/** The scales of `count` blocks of a row times those of x. */
function multiplyScales<S>(x: usize, scales: usize, to: usize, count: u32): void {
  if (scaleBytes<S>() == 0) {
    const scale = v128.load_splat<f32>(scales);
    for (let i: usize = 0; i < ((count as usize) << 2); i += 16) v128.store(to + i, f32x4.mul(scale, v128.load(x + i)));
    return;
  }
  for (let i = count >> 3; i != 0; i--) {
    const codes = v128.load(scales), special = v128.any_true(specialOf(codes));
    v128.store(to, f32x4.mul(fromHalves(i32x4.extend_low_i16x8_s(codes), special), v128.load(x)));
    v128.store(to, f32x4.mul(fromHalves(i32x4.extend_high_i16x8_s(codes), special), v128.load(x, 16)), 16);
    x += 32;
    scales += 16;
    to += 32;
  }
  for (let i = count & 7; i != 0; i--) {
    store<f32>(to, scaleOf(scales) * load<f32>(x));
    x += 4;
    scales += 2;
    to += 4;
  }
}

/** A block of a row, added to its sums. */
function addBlock<S>(b: usize, x0: v128, x1: v128, x2: v128, x3: v128, start: v128, mask: v128, scale: v128, sums: v128): v128 {
  const w = loadCodes<S>(b);
  const v = isSigned<S>() ? v128.load(b, 16) : w;
  return madd(f32x4.convert_i32x4_s(blockSums<S>(w, v, x0, x1, x2, x3, start, mask)), scale, sums);
}

/** Copies the codes of a short block, with zeros after them. */
export function fillUp(to: usize, codes: usize, words: u32): usize {
  v128.store(to, i32x4.splat(0));
  v128.store(to, i32x4.splat(0), 16);
  copyWords(to, codes, words);
  return to;
}

/**
 * Lanes: rows b0 to b3 (scales s0 to s3) times the rounded row x. Meanwhile as many bytes from `ahead` on are fetched as four rows have, a
 * cache line every `aheadStep` bytes; a step of 0 fetches nothing. `scratch`: DOT_SCRATCH bytes.
 */
export function integerDot4<S>(
  x: usize, width: u32, b0: usize, b1: usize, b2: usize, b3: usize, s0: usize, s1: usize, s2: usize, s3: usize, scratch: usize,
  ahead: usize, aheadStep: usize,
): v128 {
  let c0 = f32x4.splat(0), c1 = c0, c2 = c0, c3 = c0;
  // Read from memory, or it would be made anew for each block.
  const mask = ASC_FEATURE_RELAXED_SIMD ? v128.load_splat<u8>(NIBBLE) : v128.load_splat<u16>(NIBBLE);
  let scales = scalesOf(x, width), blocks = width >> 5, left = width & 31;
  for (;;) {
    while (blocks != 0) {
      const count = min(CHUNK, blocks);
      multiplyScales<S>(scales, s0, scratch, count);
      multiplyScales<S>(scales, s1, scratch + ROW, count);
      multiplyScales<S>(scales, s2, scratch + 2 * ROW, count);
      multiplyScales<S>(scales, s3, scratch + 3 * ROW, count);
      let f = scratch;
      for (let i = count; i != 0; i--) {
        const x0 = v128.load(x), x1 = v128.load(x, 16), start = v128.load(x, START);
        // The relaxed product with nibbles has but two vectors of x.
        const x2 = ASC_FEATURE_RELAXED_SIMD && !isSigned<S>() ? mask : v128.load(x, 32);
        const x3 = ASC_FEATURE_RELAXED_SIMD && !isSigned<S>() ? mask : v128.load(x, 48);
        c0 = addBlock<S>(b0, x0, x1, x2, x3, start, mask, v128.load_splat<f32>(f), c0);
        c1 = addBlock<S>(b1, x0, x1, x2, x3, start, mask, v128.load_splat<f32>(f, ROW), c1);
        c2 = addBlock<S>(b2, x0, x1, x2, x3, start, mask, v128.load_splat<f32>(f, 2 * ROW), c2);
        c3 = addBlock<S>(b3, x0, x1, x2, x3, start, mask, v128.load_splat<f32>(f, 3 * ROW), c3);
        load<u32>(ahead);
        if (isSigned<S>()) load<u32>(ahead + aheadStep);
        ahead += isSigned<S>() ? 2 * aheadStep : aheadStep;
        x += BLOCK_BYTES;
        b0 += codeBytes<S>();
        b1 += codeBytes<S>();
        b2 += codeBytes<S>();
        b3 += codeBytes<S>();
        f += 4;
      }
      scales += count << 2;
      s0 += (count as usize) * scaleBytes<S>();
      s1 += (count as usize) * scaleBytes<S>();
      s2 += (count as usize) * scaleBytes<S>();
      s3 += (count as usize) * scaleBytes<S>();
      blocks -= count;
    }
    if (left == 0) break;
    const perWord: u32 = isSigned<S>() ? 4 : 8, words = (left + perWord - 1) / perWord, spare = scratch + 4 * ROW;
    b0 = fillUp(spare, b0, words);
    b1 = fillUp(spare + 32, b1, words);
    b2 = fillUp(spare + 64, b2, words);
    b3 = fillUp(spare + 96, b3, words);
    blocks = 1;
    left = 0;
  }
  return sumLanes4(c0, c1, c2, c3);
}
