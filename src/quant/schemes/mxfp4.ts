// MXFP4 (OCP Microscaling Formats 1.0): E2M1 codes in blocks of 32 under one E8M0 scale, a power of two.
import { ShapeError } from "../../core/errors.js";
import { rowsOf, showShape, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, greatest } from "./blocks.js";
import { nearestOf } from "./codebook.js";
import { e8m0ToF32 } from "./float-codes.js";
import type { Scheme } from "./scheme.js";

const BLOCK = 32;
/** What the sixteen codes of E2M1 stand for. Minus zero is read as zero, as ggml does. */
const e2m1: readonly number[] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6];
const NAN_SCALE = 255;

/**
 * As the gguf package: scale = 2^(floor(log2(greatest magnitude)) - 2), log2 rounded to f32, at least 2^-127; then the code that is nearest in
 * f32, of equals the first. With a NaN or an infinity in it the block decodes to NaN throughout, by the scale that means NaN (2^128 to
 * ggml). Below 2^-125 the reference's scale is undefined; this one stays 2^-127.
 */
function encodeBlock(x: Float32Array, from: number, to: number, codes: Uint8Array): number {
  const most = greatest(x, from, to);
  if (!Number.isFinite(most)) return NAN_SCALE;
  const scale = most > 0 ? Math.max(Math.floor(Math.fround(Math.log2(most))) - 2 + 127, 0) : 0;
  const numbers = Float32Array.from(e2m1, (value) => value * e8m0ToF32(scale));
  for (let i = from; i < to; i++) codes[i] = nearestOf(numbers, x[i]);
  return scale;
}

/**
 * 4.25 bits per weight. Within a quarter of the greatest magnitude of the block: codes step by at most 2 where they reach 6, and numbers from 6
 * to 8 scales become 6.
 */
export const mxfp4: Scheme = {
  name: "mxfp4",
  parts: [
    { role: "code", per: "element", bits: 4, as: e2m1 },
    { role: "scale", per: "block", bits: 8, as: "e8m0" },
  ],
  block: BLOCK,
  encode(x, shape) {
    const { rows, width } = rowsOf(shape);
    const blocks = blocksPerRow(width, BLOCK);
    const codes = new Uint8Array(rows * width);
    const scales = new Uint8Array(rows * blocks);
    eachBlock(shape, BLOCK, (from, to, block) => {
      scales[block] = encodeBlock(x, from, to, codes);
    });
    return [packBits(codes, 4, rows, width), packBits(scales, 8, rows, blocks)];
  },
};

/**
 * The parts of a matrix that a checkpoint of safetensors holds as gpt-oss does: `*_blocks`, bytes of two codes each, the earlier element in the
 * lower half, and `*_scales`, a byte per block. GGUF's order, elements j and j + 16 in byte j, is put right by the reader of such files.
 *
 * @param shape of the numbers; 32 must divide its last axis
 * @throws ShapeError
 */
export function mxfp4Parts(blocks: Uint8Array, scales: Uint8Array, shape: Shape): Uint32Array<ArrayBuffer>[] {
  const { rows, width } = rowsOf(shape);
  if (width % BLOCK !== 0 || 2 * blocks.length !== rows * width || BLOCK * scales.length !== rows * width) {
    throw new ShapeError(
      `mxfp4Parts: numbers ${showShape(shape)} must come in whole blocks of 32, 16 bytes and one scale each, got ${blocks.length} bytes and ${scales.length} scales`,
    );
  }
  const bytes = new Uint8Array(blocks); // a copy, so that words begin where they must
  return [new Uint32Array(bytes.buffer), packBits(scales, 8, rows, width / BLOCK)];
}
