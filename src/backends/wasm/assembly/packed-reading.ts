// Rows of the schemes that are read and never encoded here: what a group shares is looked up group by group, and codes become numbers in
// registers, to the bit those of quant/schemes/scheme.ts.
import {
  FP4, FP8_E4M3, FP8_E4M3_TILE, INT4, INT4_AFFINE, INT8, INT8_AFFINE, IQ4_NL, MXFP4, NF4, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K,
} from "../codes";
import { copyWords, fillWords } from "./move";
import {
  Bytes, E2m1, E4m3, E5m2, FiveBits, Nibbles, NormalFloats, OffsetFives, OffsetNibbles, ShiftedBytes, ShiftedNibbles, SixBits, addSixteen, bytesOfSixteen, hasOffset, hasZero, isSix, sixteen,
  storeSixteen,
} from "./packed-codes";
import { codesOf, partOf, schemeOf } from "./packed-matrix";
import { offsetAt, scaleAt, zeroAt } from "./packed-scales";
import { madd, sumLanes } from "./simd";

/** Numbers that share scale, zero point and offset; those of Q6_K are two groups. */
const GROUP: u32 = 32;

const INT4_NUMBERS: usize = memory.data<i8>([0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1], 16);
/** Twice those of E2M1. */
const MXFP4_NUMBERS: usize = memory.data<i8>([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], 16);
const IQ4_NL_NUMBERS: usize = memory.data<i8>([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], 16);

function tableOf(scheme: u32): usize {
  return scheme == MXFP4 ? MXFP4_NUMBERS : scheme == IQ4_NL ? IQ4_NL_NUMBERS : INT4_NUMBERS;
}

/** The i-th 32 numbers of a row, of which the first `left` are stored. */
function storeGroup<C>(scheme: u32, codes: usize, p: usize, q: usize, r: usize, s: usize, i: usize, to: usize, left: u32): void {
  const table = tableOf(scheme), own = isSix<C>() ? 2 * i : i;
  let scale = f32x4.splat(scaleAt(scheme, p, q, own));
  const zero = hasZero<C>() ? i16x8.splat(zeroAt(scheme, p, i)) : scale;
  const offset = hasOffset<C>() ? f32x4.splat(offsetAt(scheme, q, r, s, i)) : scale;
  codes += 2 * i * bytesOfSixteen<C>();
  storeSixteen<C>(sixteen<C>(codes, table), zero, scale, offset, to, left);
  if (left <= 16) return;
  if (isSix<C>()) scale = f32x4.splat(scaleAt(scheme, p, q, own + 1));
  storeSixteen<C>(sixteen<C>(codes + bytesOfSixteen<C>(), table), zero, scale, offset, to + 64, left - 16);
}

function decode<C>(command: usize, matrix: usize, row: u32, to: usize, width: u32): void {
  const scheme = schemeOf(command, matrix), codes = codesOf(command, matrix, row);
  const p = partOf(command, matrix, 0, row), q = partOf(command, matrix, 1, row);
  const r = partOf(command, matrix, 2, row), s = partOf(command, matrix, 3, row);
  for (let i: u32 = 0; i < width; i += GROUP) {
    storeGroup<C>(scheme, codes, p, q, r, s, i / GROUP, to + (i << 2), width - i);
  }
}

/** `spare`: 256 bytes. */
function product<C>(command: usize, matrix: usize, row: u32, x: usize, width: u32, spare: usize): f32 {
  const scheme = schemeOf(command, matrix), codes = codesOf(command, matrix, row), table = tableOf(scheme);
  const p = partOf(command, matrix, 0, row), q = partOf(command, matrix, 1, row);
  const r = partOf(command, matrix, 2, row), s = partOf(command, matrix, 3, row);
  let a = f32x4.splat(0), b = a, at = codes;
  const groups = width / GROUP;
  for (let i: usize = 0; i < groups; i++) {
    const own = isSix<C>() ? 2 * i : i;
    let scale = f32x4.splat(scaleAt(scheme, p, q, own));
    const zero = hasZero<C>() ? i16x8.splat(zeroAt(scheme, p, i)) : scale;
    const offset = hasOffset<C>() ? f32x4.splat(offsetAt(scheme, q, r, s, i)) : scale;
    a = addSixteen<C>(sixteen<C>(at, table), zero, scale, offset, x, a);
    if (isSix<C>()) scale = f32x4.splat(scaleAt(scheme, p, q, own + 1));
    b = addSixteen<C>(sixteen<C>(at + bytesOfSixteen<C>(), table), zero, scale, offset, x + 64, b);
    at += 2 * bytesOfSixteen<C>();
    x += 4 * GROUP;
  }
  const left = width % GROUP;
  if (left != 0) {
    fillWords(spare, 0, 2 * GROUP);
    storeGroup<C>(scheme, codes, p, q, r, s, groups, spare, left);
    copyWords(spare + 4 * GROUP, x, left);
    for (const end = spare + 4 * GROUP; spare < end; spare += 16) a = madd(v128.load(spare), v128.load(spare, 4 * GROUP), a);
  }
  return sumLanes(f32x4.add(a, b));
}

/** Whether the scheme is one of those that are read here. */
export function isRead(scheme: u32): bool {
  return scheme >= (INT8 as u32);
}

/** One row's product with x; where x is 0, its numbers go to `to`. */
function read<C>(command: usize, matrix: usize, row: u32, x: usize, width: u32, to: usize): f32 {
  if (x != 0) return product<C>(command, matrix, row, x, width, to);
  decode<C>(command, matrix, row, to, width);
  return 0;
}

/** The product of a row with x, for which `to` is scratch memory of 256 bytes; where x is 0, the row's numbers go to `to`. */
export function readRow(command: usize, matrix: usize, row: u32, x: usize, width: u32, to: usize): f32 {
  switch (schemeOf(command, matrix)) {
    case INT8:
      return read<Bytes>(command, matrix, row, x, width, to);
    case INT8_AFFINE:
      return read<ShiftedBytes>(command, matrix, row, x, width, to);
    case INT4:
    case MXFP4:
    case IQ4_NL:
      return read<Nibbles>(command, matrix, row, x, width, to);
    case INT4_AFFINE:
      return read<ShiftedNibbles>(command, matrix, row, x, width, to);
    case Q4_1:
    case Q4_K:
      return read<OffsetNibbles>(command, matrix, row, x, width, to);
    case Q5_0:
      return read<FiveBits>(command, matrix, row, x, width, to);
    case Q5_1:
    case Q5_K:
      return read<OffsetFives>(command, matrix, row, x, width, to);
    case NF4:
      return read<NormalFloats>(command, matrix, row, x, width, to);
    case FP4:
      return read<E2m1>(command, matrix, row, x, width, to);
    case Q6_K:
      return read<SixBits>(command, matrix, row, x, width, to);
    case FP8_E4M3:
    case FP8_E4M3_TILE:
      return read<E4m3>(command, matrix, row, x, width, to);
    default: // FP8_E5M2
      return read<E5m2>(command, matrix, row, x, width, to);
  }
}
