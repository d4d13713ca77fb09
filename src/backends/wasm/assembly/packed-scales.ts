// What the numbers of a group share: scale, zero point and offset, of the schemes that are read and never encoded here. A group is 32 numbers, of
// Q6_K 16; p, q, r and s are where a row of the scheme's parts lies, the codes aside, in their order.
import { FP4, FP8_E4M3, FP8_E4M3_TILE, FP8_E5M2, INT4, INT4_AFFINE, INT8, INT8_AFFINE, IQ4_NL, MXFP4, NF4, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K } from "../codes";
import { scaleOf } from "./packed-halves";

/** E8M0, halved: codes of MXFP4 are read as whole numbers, twice what they stand for. */
function halfPower(code: u32): f32 {
  if (code == 255) return NaN;
  return reinterpret<f32>(code >= 2 ? (code - 1) << 23 : 0x200000 << code); // below 2^-126 subnormal
}

/** The i-th code of 6 bits. */
function sixAt(codes: usize, i: usize): f32 {
  const bit = 6 * i;
  return f32((load<u16>(codes + (bit >> 3)) >> ((bit & 7) as u16)) & 63);
}

/** The f16 of the i-th of groups that share it by 2^shift. */
function halfAt(halves: usize, i: usize, shift: usize): f32 {
  return scaleOf(halves + ((i >> shift) << 1));
}

export function scaleAt(scheme: u32, p: usize, q: usize, i: usize): f32 {
  switch (scheme) {
    case INT8:
    case FP8_E4M3:
    case FP8_E5M2:
      return load<f32>(p);
    case INT8_AFFINE:
      return load<f32>(q);
    case FP8_E4M3_TILE:
      return load<f32>(p + ((i >> 2) << 2));
    case INT4:
    case FP4:
    case IQ4_NL:
    case Q4_1:
    case Q5_0:
    case Q5_1:
      return halfAt(p, i, 0);
    case INT4_AFFINE:
      return halfAt(q, i, 0);
    case MXFP4:
      return halfPower(load<u8>(p + i));
    case NF4:
      return halfAt(p, i, 1);
    case Q4_K:
    case Q5_K:
      return sixAt(p, i) * halfAt(q, i, 3);
    default: // Q6_K
      return f32(load<i8>(p + i)) * halfAt(q, i, 4);
  }
}

export function zeroAt(scheme: u32, p: usize, i: usize): i16 {
  if (scheme == INT8_AFFINE) return load<u8>(p);
  return (((load<u8>(p + (i >> 1)) as i32) >> (((i & 1) as i32) << 2)) & 15) as i16;
}

export function offsetAt(scheme: u32, q: usize, r: usize, s: usize, i: usize): f32 {
  return scheme == Q4_1 || scheme == Q5_1 ? halfAt(q, i, 0) : sixAt(r, i) * halfAt(s, i, 3);
}
