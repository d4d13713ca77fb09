// Numbers stored in 16 bits, four or eight at a time, for inner loops.
import { fromF16, scaleAt } from "./packed-floats";

// Constants of inner loops are read from memory: as constants of the code they would be made anew for each use.
const SIGN_AND_REST: usize = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);
const REBIAS: usize = memory.data<u32>([0x38000000, 0x38000000, 0x38000000, 0x38000000], 16);
const MAGNITUDE: usize = memory.data<u64>([0x7fff7fff7fff7fff, 0x7fff7fff7fff7fff], 16);
const LEAST: usize = memory.data<u64>([0x0400040004000400, 0x0400040004000400], 16);
const NORMALS: usize = memory.data<u64>([0x7800780078007800, 0x7800780078007800], 16);

/** All bits where one of eight f16 is zero, subnormal, infinite or NaN. */
export function specialOf(codes: v128): v128 {
  const steps = i16x8.sub(v128.and(codes, v128.load(MAGNITUDE)), v128.load(LEAST));
  return i16x8.ge_u(steps, v128.load(NORMALS));
}

/** What four f16 stand for that are not special, each in a lane with its sign repeated above it. */
export function normalHalves(codes: v128): v128 {
  return i32x4.add(v128.and(i32x4.shl(codes, 13), v128.load(SIGN_AND_REST)), v128.load(REBIAS));
}

/** What four f16 stand for, given like that. */
export function fromHalves(codes: v128, special: bool): v128 {
  return special ? fromF16(v128.and(codes, i32x4.splat(0xffff))) : normalHalves(codes);
}

/** Numbers 0 to 3 of eight codes of bf16, which are their upper halves. */
export function lowFour(codes: v128): v128 {
  return i8x16.shuffle(i32x4.splat(0), codes, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
}

/** Numbers 4 to 7. */
export function highFour(codes: v128): v128 {
  return i8x16.shuffle(i32x4.splat(0), codes, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
}

/** The number that one f16 stands for. */
export function scaleOf(at: usize): f32 {
  const bits = load<u16>(at) as u32, magnitude = bits & 0x7fff;
  if (magnitude - 0x400 >= 0x7800) return f32x4.extract_lane(scaleAt(at), 0);
  return reinterpret<f32>(((bits ^ magnitude) << 16) | ((magnitude << 13) + 0x38000000));
}
