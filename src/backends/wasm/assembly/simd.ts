// Four numbers at a time.

/** a * b + c: one rounding in the relaxed build, two in the plain one. */
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** (lane 0 + lane 2) + (lane 1 + lane 3) */
export function sumLanes(x: v128): f32 {
  const pairs = f32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** The sum of four integers. */
export function sumInts(x: v128): i32 {
  const pairs = i32x4.add(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** The sums of the lanes of four vectors, as one vector. */
export function sumLanes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const ab = f32x4.add(ab0, ab1); // a02 b02 a13 b13
  const cd = f32x4.add(cd0, cd1);
  const even = i8x16.shuffle(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  const odd = i8x16.shuffle(ab, cd, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  return f32x4.add(even, odd);
}

/**
 * Whether the instructions of this build give the values they must, 0 if so. The second argument of the relaxed int8 product must be 0..127;
 * engines have lost its accumulator.
 */
export function probe(one: i32): i32 {
  const x = f32x4.splat(f32(one) + 0.5);
  const y = madd(x, x, x); // 1.5 * 1.5 + 1.5
  if (f32x4.extract_lane(y, 0) != 3.75 || f32x4.extract_lane(y, 3) != 3.75) return 1;
  if (ASC_FEATURE_RELAXED_SIMD) {
    let sum = i32x4.splat(one);
    for (let i = 0; i < 3; i++)
      sum = i32x4.relaxed_dot_i8x16_i7x16_add_s(i8x16.splat(-128), i8x16.splat(i8(one + 126)), sum);
    if (i32x4.extract_lane(sum, 0) != 1 - 3 * 4 * 128 * 127) return 2;
  }
  return 0;
}
