// Q8_0 as GGUF defines it: int8 codes in blocks of 32, one f16 scale per block. Also the rule by which `activations: "q8"` rounds.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, greatest } from "./blocks.js";
import { f16ToF32, scaleToF16 } from "./float-codes.js";
import type { Scheme } from "./scheme.js";

const BLOCK = 32;

/**
 * Codes of x[from..to) into `codes` at the same places; returns the bits of the f16 scale. d = amax / 127; code = round(x * (1 / d)), halves
 * away from zero, computed with the f32 d although d is stored as f16. A block with a NaN or an infinity decodes to NaN throughout; where
 * 1 / d overflows, d itself is 0 as f16.
 */
export function encodeQ8Block(x: Float32Array, from: number, to: number, codes: Int8Array, codesFrom: number): number {
  const d = Math.fround(greatest(x, from, to) / 127);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = from; i < to; i++) {
    const scaled = Math.fround(x[i] * inverse);
    const magnitude = Math.abs(scaled);
    const whole = Math.floor(magnitude);
    // floor(magnitude + 0.5) would fail for 0.49999997, which the addition rounds up to 1.
    const rounded = Math.min(whole + Math.floor(2 * (magnitude - whole)), 127);
    codes[codesFrom + i - from] = scaled < 0 ? -rounded : rounded;
  }
  return scaleToF16(d);
}

/** Rounds rows of any width as Q8_0 would, a short last block included: decode(encode(x)) without the words between. */
export function roundToQ8(x: Float32Array, rows: number, width: number): Float32Array<ArrayBuffer> {
  const y = new Float32Array(rows * width);
  const codes = new Int8Array(BLOCK);
  for (let row = 0; row < rows; row++) {
    const end = (row + 1) * width;
    for (let from = row * width; from < end; from += BLOCK) {
      const to = Math.min(from + BLOCK, end);
      const scale = f16ToF32(encodeQ8Block(x, from, to, codes, 0));
      for (let i = from; i < to; i++) y[i] = codes[i - from] * scale;
    }
  }
  return y;
}

export const q8_0: Scheme = {
  name: "q8_0",
  parts: [
    { role: "code", per: "element", bits: 8, as: "int" },
    { role: "scale", per: "block", bits: 16, as: "f16" },
  ],
  block: BLOCK,
  encode(x, shape) {
    const { rows, width } = rowsOf(shape);
    const blocks = blocksPerRow(width, BLOCK);
    const codes = new Int8Array(rows * width);
    const scales = new Uint16Array(rows * blocks);
    eachBlock(shape, BLOCK, (from, to, block) => {
      scales[block] = encodeQ8Block(x, from, to, codes, from);
    });
    return [packBits(codes, 8, rows, width), packBits(scales, 16, rows, blocks)];
  },
};
