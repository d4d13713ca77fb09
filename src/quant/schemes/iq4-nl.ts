// IQ4_NL as GGUF defines it: blocks of 32 under an f16 scale, the sixteen codes spaced as weights are, densely around zero.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, greatest } from "./blocks.js";
import { fitScale } from "./fit.js";
import { f16ToF32, f32ToF16 } from "./float-codes.js";
import { weigher } from "./importance.js";
import type { Scheme } from "./scheme.js";

const BLOCK = 32;
const numbers: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const middles = numbers.slice(1).map((number, i) => (number + numbers[i]) / 2);

/** The code of the nearest number. */
function codeOf(scaled: number): number {
  let code = scaled < middles[7] ? 0 : 8;
  while (code < 15 && scaled > middles[code]) code++;
  return code;
}

const round = (scaled: number): number => numbers[codeOf(scaled)];

/** Returns the bits of the scale, which is chosen by least squares. */
function encodeBlock(x: Float32Array, from: number, to: number, codes: Uint8Array, weights: Float32Array): number {
  if (!Number.isFinite(greatest(x, from, to))) return f32ToF16(NaN);
  const scale = f32ToF16(fitScale(x, from, to, { ends: [-127, 113], round }, weights));
  const D = f16ToF32(scale);
  for (let i = from; i < to; i++) codes[i] = D === 0 ? 0 : codeOf(x[i] / D);
  return scale;
}

/**
 * 4.5 bits per weight. Codes lie 11 to 24 apart, so where they reach a number decodes to within 12 scales, and to within 6 next to zero; beyond
 * them within the distance to their end. No code means zero: it becomes one scale unless the whole block is zero. A block with a NaN or an
 * infinity decodes to NaN throughout.
 */
export const iq4_nl: Scheme = {
  name: "iq4_nl",
  parts: [
    { role: "code", per: "element", bits: 4, as: numbers },
    { role: "scale", per: "block", bits: 16, as: "f16" },
  ],
  block: BLOCK,
  scales: "leastSquares",
  encode(x, shape, importance) {
    const { rows, width } = rowsOf(shape);
    const weigh = weigher("iq4_nl", shape, importance);
    const blocks = blocksPerRow(width, BLOCK);
    const codes = new Uint8Array(rows * width);
    const scales = new Uint16Array(rows * blocks);
    eachBlock(shape, BLOCK, (from, to, block) => {
      scales[block] = encodeBlock(x, from, to, codes, weigh(from, to));
    });
    return [packBits(codes, 4, rows, width), packBits(scales, 16, rows, blocks)];
  },
};
