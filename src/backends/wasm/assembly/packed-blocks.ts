// What encoders of blocks of 32 numbers share.

/** The bits of the largest magnitude among 32 numbers. Without their signs numbers lie in the order of their bits, and NaN above all. */
export function largestBits(x: usize): u32 {
  const clear = i32x4.splat(0x7fffffff);
  let a = i32x4.splat(0), b = a;
  for (let i: usize = 0; i < 128; i += 32) {
    a = i32x4.max_s(a, v128.and(v128.load(x + i), clear));
    b = i32x4.max_s(b, v128.and(v128.load(x + i, 16), clear));
  }
  a = i32x4.max_s(a, b);
  a = i32x4.max_s(a, i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  a = i32x4.max_s(a, i8x16.shuffle(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  return i32x4.extract_lane(a, 0);
}
