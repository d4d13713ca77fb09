// A packed weight in plain order, as commands describe it: five words - what its codes are and how x is stored, codes, bytes between their
// rows, scales, bytes between theirs. All rows are counted through, those of expert e after those of e - 1.
import { F16, Q4_0, Q4_0_INTEGERS, Q8_0, Q8_0_INTEGERS } from "../codes";
import { integerDot4 } from "./packed-dot";
import { floatDot4, scaledDot4 } from "./packed-float-dot";

/** Words of a description. */
export const DESCRIPTION: usize = 5;

/** Products of `left`, at most four, rows from `row` on with a row of x; the last lanes repeat the first of them. `scratch`: 640 bytes. */
export function fourProducts(weight: usize, row: u32, left: u32, x: usize, width: u32, scratch: usize): v128 {
  const codeRow = load<u32>(weight, 8) as usize, scaleRow = load<u32>(weight, 16) as usize;
  const b0 = (load<u32>(weight, 4) as usize) + row * codeRow, s0 = (load<u32>(weight, 12) as usize) + row * scaleRow;
  const i: usize = left > 1 ? 1 : 0, j: usize = left > 2 ? 2 : 0, l: usize = left > 3 ? 3 : 0;
  const b1 = b0 + i * codeRow, b2 = b0 + j * codeRow, b3 = b0 + l * codeRow;
  const s1 = s0 + i * scaleRow, s2 = s0 + j * scaleRow, s3 = s0 + l * scaleRow;
  switch (load<u32>(weight)) {
    case Q8_0_INTEGERS:
      return integerDot4<i8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case Q4_0_INTEGERS:
      return integerDot4<u8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case Q8_0:
      return scaledDot4<i8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case Q4_0:
      return scaledDot4<u8>(x, width, b0, b1, b2, b3, s0, s1, s2, s3, scratch);
    case F16:
      return floatDot4<i16>(x, width, b0, b1, b2, b3, scratch);
    default: // BF16
      return floatDot4<u16>(x, width, b0, b1, b2, b3, scratch);
  }
}
