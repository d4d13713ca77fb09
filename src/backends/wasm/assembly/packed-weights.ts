// Rows of a weight, packed or not, as commands describe it (packed-matrix.ts), times rows of x. All rows are counted through, those of expert e after
// those of e - 1. A scheme of INTEGERS says that x is rounded (packed-activations.ts).
import { BF16, F16, INT4_INTEGERS, INT8_INTEGERS, Q4_0, Q4_0_INTEGERS, Q8_0, Q8_0_INTEGERS } from "../codes";
import { dot4 } from "./dot";
import { codesOf, scalesOf, schemeOf } from "./packed-matrix";
import { integerDot4 } from "./packed-dot";
import { floatDot4, scaledDot4 } from "./packed-float-dot";
import { isRead, readRow } from "./packed-reading";

const PAGE: usize = 4096;

/**
 * Products of four rows from `row` on, `apart` from each other, with a row of x. Where only `left` of them are there, the last lanes repeat the
 * first.
 * `scratch`: DOT_SCRATCH bytes.
 */
export function fourProducts(command: usize, row: u32, left: u32, apart: u32, x: usize, width: u32, scratch: usize): v128 {
  const scheme = schemeOf(command, 0);
  const i = row + (left > 1 ? apart : 0), j = row + (left > 2 ? 2 * apart : 0), l = row + (left > 3 ? 3 * apart : 0);
  if (isRead(scheme)) {
    const first = readRow(command, 0, row, x, width, scratch);
    if (left == 1) return f32x4.splat(first);
    return f32x4(first, readRow(command, 0, i, x, width, scratch), readRow(command, 0, j, x, width, scratch), readRow(command, 0, l, x, width, scratch));
  }
  const b0 = codesOf(command, 0, row), b1 = codesOf(command, 0, i), b2 = codesOf(command, 0, j), b3 = codesOf(command, 0, l);
  const s0 = scalesOf(command, 0, row), s1 = scalesOf(command, 0, i), s2 = scalesOf(command, 0, j), s3 = scalesOf(command, 0, l);
  // Processors fetch ahead along one line of addresses in a page: where several rows share a page, the next four are fetched in order.
  const short = apart == 1 && left >= 8 && b1 - b0 < PAGE;
  const ahead = short ? codesOf(command, 0, row + 4) : b0, aheadStep: usize = short ? 64 : 0;
  switch (scheme) {
    case Q8_0_INTEGERS:
      return integerDot4<i8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch, ahead, aheadStep);
    case Q4_0_INTEGERS:
      return integerDot4<u8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch, ahead, aheadStep);
    case INT8_INTEGERS:
      return integerDot4<i16>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch, ahead, aheadStep);
    case INT4_INTEGERS:
      return integerDot4<u16>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch, ahead, aheadStep);
    case Q8_0:
      return scaledDot4<i8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case Q4_0:
      return scaledDot4<u8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case F16:
      return floatDot4<i16>(x, width, b0, b1, b2, b3, scratch);
    case BF16:
      return floatDot4<u16>(x, width, b0, b1, b2, b3, scratch);
    default: // plain
      return dot4(x, b0, b1, b2, b3, width);
  }
}
