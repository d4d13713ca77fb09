// Q4_K, Q5_K and Q6_K as GGUF defines them: superblocks of 256 with f16 numbers that scale the small scales (and offsets) of their blocks. Files
// may hold whole superblocks only; here a row's last one may be short.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, greatest, nearest } from "./blocks.js";
import { fitAffine, fitScale } from "./fit.js";
import { f16ToF32, f32ToF16 } from "./float-codes.js";
import { weigher } from "./importance.js";
import type { Scheme } from "./scheme.js";

const SUPERBLOCK = 256;
const BLOCK = 32;
const TOP_OF_SIX_BITS = 63;

/** What fills the parts of an affine K-quant; offsets are stored as what is subtracted, its f16 factor below zero. */
interface AffineParts {
  readonly codes: Uint8Array;
  readonly scales: Uint8Array;
  readonly offsets: Uint8Array;
  readonly superscales: Uint16Array;
  readonly superoffsets: Uint16Array;
}

/**
 * One superblock: each block's scale and offset by least squares, these in steps of the superblock's f16 ones, then the code that is nearest
 * under what is stored.
 */
function encodeAffine(
  x: Float32Array,
  [from, to]: readonly [number, number],
  [block, superblock]: readonly [number, number],
  top: number,
  parts: AffineParts,
  weights: Float32Array,
): void {
  const ofBlock = (start: number): Float32Array => weights.subarray(start - from);
  const starts: number[] = [];
  for (let start = from; start < to; start += BLOCK) starts.push(start);
  const fits = starts.map((start) => fitAffine(x, start, Math.min(start + BLOCK, to), top, ofBlock(start)));
  const superscale = f32ToF16(Math.max(...fits.map(({ scale }) => scale)) / TOP_OF_SIX_BITS);
  const superoffset = f32ToF16(-Math.max(...fits.map(({ low }) => -low)) / TOP_OF_SIX_BITS);
  parts.superscales[superblock] = superscale;
  parts.superoffsets[superblock] = superoffset;
  const [D, M] = [f16ToF32(superscale), f16ToF32(superoffset)];
  fits.forEach(({ scale, low }, i) => {
    const [start, end] = [starts[i], Math.min(starts[i] + BLOCK, to)];
    let least = Infinity;
    // Rounding the two apart is not the best that the two can be together.
    for (const sixBits of around(inSteps(scale, D, 0, TOP_OF_SIX_BITS))) {
      for (const offset of around(inSteps(low, M, 0, TOP_OF_SIX_BITS))) {
        const error = affineError(x, start, end, top, D * sixBits, M * offset, ofBlock(start));
        if (error >= least) continue;
        least = error;
        parts.scales[block + i] = sixBits;
        parts.offsets[block + i] = offset;
      }
    }
    const [step, offset] = [D * parts.scales[block + i], M * parts.offsets[block + i]];
    for (let j = start; j < end; j++) parts.codes[j] = inSteps(x[j] - offset, step, 0, top);
  });
}

const around = (sixBits: number): number[] =>
  [sixBits, sixBits - 1, sixBits + 1].filter((near) => near >= 0 && near <= TOP_OF_SIX_BITS);

function affineError(
  x: Float32Array,
  from: number,
  to: number,
  top: number,
  step: number,
  offset: number,
  weights: Float32Array,
): number {
  const inverse = step === 0 ? 0 : 1 / step;
  let error = 0;
  for (let i = from; i < to; i++) {
    const code = Math.min(Math.max(Math.floor((x[i] - offset) * inverse + 0.5), 0), top);
    error += weights[i - from] * (code * step + offset - x[i]) ** 2;
  }
  return error;
}

/** The nearest count of steps; 0 where there is no step, or none that is finite. */
function inSteps(value: number, step: number, low: number, high: number): number {
  return step === 0 || !Number.isFinite(step) ? 0 : nearest(value / step, low, high);
}

function affine(name: string, bits: number): Scheme {
  return {
    name,
    parts: [
      { role: "code", per: "element", bits, as: "uint" },
      { role: "scale", per: "block", bits: 6, as: "uint" },
      { role: "scale", per: "superblock", bits: 16, as: "f16" },
      { role: "offset", per: "block", bits: 6, as: "uint" },
      { role: "offset", per: "superblock", bits: 16, as: "f16" },
    ],
    block: BLOCK,
    superblock: SUPERBLOCK,
    scales: "leastSquares",
    encode(x, shape, importance) {
      const { rows, width } = rowsOf(shape);
      const weigh = weigher(name, shape, importance);
      const [blocks, superblocks] = [blocksPerRow(width, BLOCK), blocksPerRow(width, SUPERBLOCK)];
      const parts: AffineParts = {
        codes: new Uint8Array(rows * width),
        scales: new Uint8Array(rows * blocks),
        offsets: new Uint8Array(rows * blocks),
        superscales: new Uint16Array(rows * superblocks),
        superoffsets: new Uint16Array(rows * superblocks),
      };
      eachBlock(shape, SUPERBLOCK, (from, to, superblock) => {
        if (!Number.isFinite(greatest(x, from, to))) {
          parts.superscales[superblock] = f32ToF16(NaN);
          return;
        }
        const row = Math.floor(superblock / superblocks);
        const block = row * blocks + (superblock % superblocks) * (SUPERBLOCK / BLOCK);
        encodeAffine(x, [from, to], [block, superblock], 2 ** bits - 1, parts, weigh(from, to));
      });
      return [
        packBits(parts.codes, bits, rows, width),
        packBits(parts.scales, 6, rows, blocks),
        packBits(parts.superscales, 16, rows, superblocks),
        packBits(parts.offsets, 6, rows, blocks),
        packBits(parts.superoffsets, 16, rows, superblocks),
      ];
    },
  };
}

/**
 * 4.5 bits per weight: 4-bit codes, a 6-bit scale and a 6-bit offset per 32, two f16 numbers per 256. Each number gets the code that is nearest
 * under what is stored: within half the block's scale where the codes reach, 0 to 15 scales above its offset; beyond them within the distance
 * to their end. A superblock with a NaN or an infinity, or a scale beyond f16, decodes to NaN throughout.
 */
export const q4_k: Scheme = /* @__PURE__ */ affine("q4_k", 4);

/** 5.5 bits per weight; otherwise as {@link q4_k}. */
export const q5_k: Scheme = /* @__PURE__ */ affine("q5_k", 5);

const SMALL_BLOCK = 16;

function encodeQ6(
  x: Float32Array,
  [from, to]: readonly [number, number],
  block: number,
  codes: Int8Array,
  scales: Int8Array,
  weights: Float32Array,
): number {
  const round = (scaled: number): number => Math.min(Math.max(Math.floor(scaled + 0.5), -32), 31);
  const fits: number[] = [];
  for (let start = from; start < to; start += SMALL_BLOCK) {
    const end = Math.min(start + SMALL_BLOCK, to);
    fits.push(fitScale(x, start, end, { ends: [-32, 31], round }, weights.subarray(start - from)));
  }
  // The longer side of int8, -128, is that of the greatest scale.
  const widest = fits.reduce((most, scale) => (Math.abs(scale) > Math.abs(most) ? scale : most), 0);
  const superscale = f32ToF16(widest / -128);
  const D = f16ToF32(superscale);
  fits.forEach((scale, i) => {
    const eightBits = inSteps(scale, D, -128, 127);
    scales[block + i] = eightBits;
    const start = from + i * SMALL_BLOCK;
    for (let j = start; j < Math.min(start + SMALL_BLOCK, to); j++) codes[j] = inSteps(x[j], D * eightBits, -32, 31);
  });
  return superscale;
}

/**
 * 6.5625 bits per weight: codes of -32..31 and an int8 scale per 16, an f16 one per 256. Within half the block's stored scale where the codes
 * reach; beyond them within the distance to their end. A superblock with a NaN or an infinity decodes to NaN throughout.
 */
export const q6_k: Scheme = {
  name: "q6_k",
  parts: [
    { role: "code", per: "element", bits: 6, as: "int" },
    { role: "scale", per: "block", bits: 8, as: "int" },
    { role: "scale", per: "superblock", bits: 16, as: "f16" },
  ],
  block: SMALL_BLOCK,
  superblock: SUPERBLOCK,
  scales: "leastSquares",
  encode(x, shape, importance) {
    const { rows, width } = rowsOf(shape);
    const weigh = weigher("q6_k", shape, importance);
    const [blocks, superblocks] = [blocksPerRow(width, SMALL_BLOCK), blocksPerRow(width, SUPERBLOCK)];
    const [codes, scales] = [new Int8Array(rows * width), new Int8Array(rows * blocks)];
    const superscales = new Uint16Array(rows * superblocks);
    eachBlock(shape, SUPERBLOCK, (from, to, superblock) => {
      const row = Math.floor(superblock / superblocks);
      const block = row * blocks + (superblock % superblocks) * (SUPERBLOCK / SMALL_BLOCK);
      const finite = Number.isFinite(greatest(x, from, to));
      superscales[superblock] = finite ? encodeQ6(x, [from, to], block, codes, scales, weigh(from, to)) : f32ToF16(NaN);
    });
    return [
      packBits(codes, 6, rows, width),
      packBits(scales, 8, rows, blocks),
      packBits(superscales, 16, rows, superblocks),
    ];
  },
};
