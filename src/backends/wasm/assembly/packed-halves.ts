// Numbers stored as f16 or bf16, four or eight at a time.

// Constants of inner loops are read from memory: as constants of the code they would be made anew for each use.
const SIGN_AND_REST: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);
const EXPONENT: usize = memory.data<u32>([0x0f800000, 0x0f800000, 0x0f800000, 0x0f800000], 16);
const INFINITY: usize = memory.data<u32>([0x7f800000, 0x7f800000, 0x7f800000, 0x7f800000], 16);
/** 2^112: between the exponents of f16 and of f32. */
const REBIAS: usize = memory.data<f32>([5.192296858534828e33, 5.192296858534828e33, 5.192296858534828e33, 5.192296858534828e33], 16);

/** What four f16 stand for, each given in a lane of its own with its sign bit repeated above it. */
export function fromHalves(x: v128): v128 {
  const bits = v128.and(i32x4.shl(x, 13), v128.load(SIGN_AND_REST));
  const top = v128.load(EXPONENT);
  const infinite = i32x4.eq(v128.and(bits, top), top);
  return v128.or(f32x4.mul(bits, v128.load(REBIAS)), v128.and(infinite, v128.load(INFINITY)));
}

/** Numbers 0 to 3 of eight 16-bit codes; `T`: u16 for bf16, i16 for f16. */
export function lowFour<T>(x: v128): v128 {
  if (isSigned<T>()) return fromHalves(i32x4.extend_low_i16x8_s(x));
  return i8x16.shuffle(i32x4.splat(0), x, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
}

/** Numbers 4 to 7. */
export function highFour<T>(x: v128): v128 {
  if (isSigned<T>()) return fromHalves(i32x4.extend_high_i16x8_s(x));
  return i8x16.shuffle(i32x4.splat(0), x, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
}

/** The first `words` words at an address, 0 in the lanes beyond them. */
export function firstWords(from: usize, words: u32): v128 {
  if (words >= 4) return v128.load(from);
  let x = i32x4.splat(0);
  if (words > 0) x = i32x4.replace_lane(x, 0, load<i32>(from));
  if (words > 1) x = i32x4.replace_lane(x, 1, load<i32>(from, 4));
  if (words > 2) x = i32x4.replace_lane(x, 2, load<i32>(from, 8));
  return x;
}
