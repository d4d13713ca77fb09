// The older formats of GGUF: blocks of 32 under an f16 scale by the extreme (_0), or under an f16 scale and offset by the range (_1). Codes lie
// in element order; GGUF's interleaved nibbles are put in order at load.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, extreme, storedAsF32 } from "./blocks.js";
import { scaleToF16 } from "./float-codes.js";
import type { Part, Scheme } from "./scheme.js";

const BLOCK = 32;

/**
 * Codes of x[from..to), 0 .. 2 half - 1 for -half .. half - 1; returns the bits of the f16 scale. With m the element of the largest magnitude
 * (the first of equals), sign kept: d = m / -half, so that m itself gets -half exactly; code = trunc(x * (1 / d) + half + 0.5), at most
 * 2 half - 1. Each step in f32. Where 1 / d overflows the reference's codes are undefined; these saturate, and d is 0 as f16. With a NaN in
 * it the whole block decodes to NaN, with an infinity to no finite number.
 */
function encodeByExtreme(half: number, x: Float32Array, from: number, to: number, codes: Uint8Array): number {
  const d = Math.fround(extreme(x, from, to) / -half);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = from; i < to; i++) {
    const shifted = Math.fround(Math.fround(x[i] * inverse) + half + 0.5);
    codes[i] = Math.min(Math.max(Math.trunc(shifted), 0), 2 * half - 1);
  }
  return scaleToF16(d);
}

/** Blocks of 32 codes of -half .. half - 1 and an f16 scale. */
export function extremeScheme(name: string, bits: number, as: Part["as"]): Scheme {
  const half = 2 ** (bits - 1);
  return {
    name,
    parts: [
      { role: "code", per: "element", bits, as },
      { role: "scale", per: "block", bits: 16, as: "f16" },
    ],
    block: BLOCK,
    encode(x, shape) {
      const { rows, width } = rowsOf(shape);
      const blocks = blocksPerRow(width, BLOCK);
      const codes = new Uint8Array(rows * width);
      const scales = new Uint16Array(rows * blocks);
      eachBlock(shape, BLOCK, (from, to, block) => {
        scales[block] = encodeByExtreme(half, x, from, to, codes);
      });
      if (as === "int") for (let i = 0; i < codes.length; i++) codes[i] -= half;
      return [packBits(codes, bits, rows, width), packBits(scales, 16, rows, blocks)];
    },
  };
}

/**
 * Codes of x[from..to), 0 .. top; returns d = (max - min) / top. code = trunc((x - min) * (1 / d) + 0.5), at most top, each step in f32. With a
 * NaN or an infinity in it the scale is NaN and the whole block decodes to that.
 */
function encodeByRange(top: number, x: Float32Array, from: number, to: number, low: number, codes: Uint8Array): number {
  let high = x[from];
  for (let i = from; i < to; i++) high = Math.max(high, x[i]);
  const d = Math.fround(Math.fround(high - low) / top);
  const inverse = d === 0 ? 0 : Math.fround(1 / d);
  for (let i = from; i < to; i++) {
    const shifted = Math.fround(Math.fround(Math.fround(x[i] - low) * inverse) + 0.5);
    codes[i] = Math.min(Math.trunc(shifted), top);
  }
  return storedAsF32(d);
}

/** Blocks of 32 codes of 0 .. 2^bits - 1, an f16 scale and an f16 offset, which is the least number. */
export function rangeScheme(name: string, bits: number): Scheme {
  return {
    name,
    parts: [
      { role: "code", per: "element", bits, as: "uint" },
      { role: "scale", per: "block", bits: 16, as: "f16" },
      { role: "offset", per: "block", bits: 16, as: "f16" },
    ],
    block: BLOCK,
    encode(x, shape) {
      const { rows, width } = rowsOf(shape);
      const blocks = blocksPerRow(width, BLOCK);
      const codes = new Uint8Array(rows * width);
      const [scales, offsets] = [new Uint16Array(rows * blocks), new Uint16Array(rows * blocks)];
      eachBlock(shape, BLOCK, (from, to, block) => {
        let low = x[from];
        for (let i = from; i < to; i++) low = Math.min(low, x[i]);
        low += 0; // the reference has no zero below zero
        scales[block] = scaleToF16(encodeByRange(2 ** bits - 1, x, from, to, low, codes));
        offsets[block] = scaleToF16(low);
      });
      return [packBits(codes, bits, rows, width), packBits(scales, 16, rows, blocks), packBits(offsets, 16, rows, blocks)]; // prettier-ignore
    },
  };
}
