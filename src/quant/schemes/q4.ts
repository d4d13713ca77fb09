// Q4_0 as GGUF defines it: 4-bit codes for -8..7 in blocks of 32, one f16 scale per block. Codes lie in element order; GGUF's interleaved
// nibbles are put in order at load.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { f32ToF16 } from "./float-codes.js";
import type { Scheme } from "./scheme.js";

const BLOCK = 32;

/**
 * Codes of x[from..to); returns the bits of the f16 scale. With m the element of the largest magnitude (the first of equals), sign kept:
 * d = m / -8, so that m itself gets -8 exactly; code = trunc(x * (1 / d) + 8.5), at most 15. Each step in f32. Where
 * 1 / d overflows the reference's codes are undefined; these saturate, and d is 0 as f16.
 */
function encodeQ4Block(x: Float32Array, from: number, to: number, codes: Uint8Array): number {
  let extreme = 0;
  for (let i = from; i < to; i++) {
    if (Number.isNaN(x[i])) {
      extreme = NaN; // as a NaN scale the whole block decodes to NaN
      break;
    }
    if (Math.abs(x[i]) > Math.abs(extreme)) extreme = x[i];
  }
  const d = Math.fround(extreme / -8);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = from; i < to; i++) {
    const shifted = Math.fround(Math.fround(x[i] * inverse) + 8.5);
    codes[i] = Math.min(Math.max(Math.trunc(shifted), 0), 15);
  }
  return f32ToF16(d);
}

export const q4_0: Scheme = {
  name: "q4_0",
  parts: [
    { role: "code", per: "element", bits: 4, as: [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7] },
    { role: "scale", per: "block", bits: 16, as: "f16" },
  ],
  block: BLOCK,
  encode(x, shape) {
    const { rows, width } = rowsOf(shape);
    const blocks = Math.ceil(width / BLOCK);
    const codes = new Uint8Array(rows * width);
    const scales = new Uint16Array(rows * blocks);
    for (let row = 0; row < rows; row++) {
      for (let block = 0; block < blocks; block++) {
        const from = row * width + block * BLOCK;
        const to = Math.min(from + BLOCK, (row + 1) * width);
        scales[row * blocks + block] = encodeQ4Block(x, from, to, codes);
      }
    }
    return [packBits(codes, 4, rows, width), packBits(scales, 16, rows, blocks)];
  },
};
