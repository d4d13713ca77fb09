// MXFP4 (OCP Microscaling Formats 1.0): E2M1 codes in blocks of 32 under one E8M0 scale, a power of two.
import { ShapeError } from "../../core/errors.js";
import { rowsOf, showShape, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, greatest } from "./blocks.js";
import { nearestOf } from "./codebook.js";
import { fitStored, type Scales, type Try } from "./fit.js";
import { e8m0ToF32 } from "./float-codes.js";
import { weigher } from "./importance.js";
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
function scaleOf(x: Float32Array, from: number, to: number): number {
  const most = greatest(x, from, to);
  if (!Number.isFinite(most)) return NAN_SCALE;
  return most > 0 ? Math.max(Math.floor(Math.fround(Math.log2(most))) - 2 + 127, 0) : 0;
}

/** The scale of least squares: the usual one, or a power of two beside the scale that fits best. */
function searched(x: Float32Array, from: number, to: number, usual: number, weights: Float32Array): number {
  if (usual === NAN_SCALE || greatest(x, from, to) === 0) return usual;
  const power = (code: number): Try => ({ scale: e8m0ToF32(code), round });
  const around = (part: number): Try[] => [{ scale: e8m0ToF32(usual) * part, round }];
  let best = power(usual);
  for (const whole of [Math.floor, Math.ceil]) {
    const stored = (scale: number): number => 2 ** Math.min(Math.max(whole(Math.log2(scale)), -127), 127);
    best = fitStored(x, [from, to], best, around, stored, weights);
  }
  return Math.round(Math.log2(best.scale)) + 127;
}

const round = (scaled: number): number => e2m1[nearestOf(e2m1, scaled)];

function mxfp4By(scales: Scales): Scheme {
  const searches = scales === "leastSquares";
  return {
    name: "mxfp4",
    parts: [
      { role: "code", per: "element", bits: 4, as: e2m1 },
      { role: "scale", per: "block", bits: 8, as: "e8m0" },
    ],
    block: BLOCK,
    ...(searches ? { scales, hostOnly: true as const } : {}),
    encode(x, shape, importance) {
      const { rows, width } = rowsOf(shape);
      const weigh = weigher("mxfp4", shape, importance);
      const blocks = blocksPerRow(width, BLOCK);
      const codes = new Uint8Array(rows * width);
      const stored = new Uint8Array(rows * blocks);
      eachBlock(shape, BLOCK, (from, to, block) => {
        const usual = scaleOf(x, from, to);
        const scale = searches ? searched(x, from, to, usual, weigh(from, to)) : usual;
        stored[block] = scale;
        if (scale === NAN_SCALE) return;
        const numbers = Float32Array.from(e2m1, (value) => value * e8m0ToF32(scale));
        for (let i = from; i < to; i++) codes[i] = nearestOf(numbers, x[i]);
      });
      return [packBits(codes, 4, rows, width), packBits(stored, 8, rows, blocks)];
    },
  };
}

/**
 * 4.25 bits per weight. Within a quarter of the greatest magnitude of the block: codes step by at most 2 where they reach 6, and numbers from 6
 * to 8 scales become 6.
 */
export const mxfp4: Scheme = /* @__PURE__ */ mxfp4By("absmax");

/** {@link schemes}.mxfp4 with its scales, powers of two, by least squares: never a greater sum of squared errors in a block. */
export const mxfp4LeastSquares: Scheme = /* @__PURE__ */ mxfp4By("leastSquares");

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
