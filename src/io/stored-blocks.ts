// Numbers that stay packed: how the bytes of a file's rows become the parts of a scheme, bit by bit, and back. GGUF keeps a block's numbers
// together; the parts keep all codes of a row together and all its scales.
import { ShapeError } from "../core/errors.js";
import { bf16, f16 } from "../quant/schemes/float.js";
import { iq4_nl } from "../quant/schemes/iq4-nl.js";
import { q4_k, q5_k, q6_k } from "../quant/schemes/k-quants.js";
import { mxfp4 } from "../quant/schemes/mxfp4.js";
import { q4_0, q4_1 } from "../quant/schemes/q4.js";
import { q5_0, q5_1 } from "../quant/schemes/q5.js";
import { q8_0 } from "../quant/schemes/q8.js";
import { decode, partSpecs, type Scheme, type Words } from "../quant/schemes/scheme.js";
import { joinBlock, layoutOf, splitBlock, type BlockDType } from "./gguf-blocks.js";

export type { BlockDType } from "./gguf-blocks.js";
/** What a file can hold that a scheme holds as well. */
export type PackableDType = BlockDType | "F16" | "BF16";

const blockSchemes: Readonly<Record<BlockDType, Scheme>> = {
  Q8_0: q8_0,
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  MXFP4: mxfp4,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
};
const floatSchemes = { F16: f16, BF16: bf16 } as const;
const FLOAT_BYTES = 2;

export function isBlockDType(dtype: string): dtype is BlockDType {
  return Object.hasOwn(blockSchemes, dtype);
}

export function isPackable(dtype: string): dtype is PackableDType {
  return isBlockDType(dtype) || Object.hasOwn(floatSchemes, dtype);
}

/** The scheme that holds the same numbers. */
export function schemeOf(dtype: PackableDType): Scheme {
  return isBlockDType(dtype) ? blockSchemes[dtype] : floatSchemes[dtype];
}

/** How many numbers lie together in how many bytes. */
export function blockOf(dtype: PackableDType): { readonly elements: number; readonly bytes: number } {
  const { block, superblock = block } = schemeOf(dtype);
  return { elements: superblock, bytes: isBlockDType(dtype) ? layoutOf(dtype).bytes : FLOAT_BYTES };
}

/** The words of each part for whole rows of `width` numbers, which blocks divide; laid out as `partSpecs` says. */
export function splitRows(dtype: PackableDType, bytes: Uint8Array, width: number): Uint32Array<ArrayBuffer>[] {
  const unit = blockOf(dtype);
  const rowBytes = (width / unit.elements) * unit.bytes;
  const rows = bytes.byteLength / rowBytes;
  const parts = partSpecs(schemeOf(dtype), [rows, width]).map(({ shape }) => new Uint32Array(shape[0] * shape[1]));
  const views = parts.map((part) => new Uint8Array(part.buffer));
  for (let row = 0; row < rows; row++) {
    const at = views.map((view) => (row * view.byteLength) / rows);
    const end = (row + 1) * rowBytes;
    if (isBlockDType(dtype)) splitRow(dtype, bytes, end - rowBytes, end, views, at);
    else views[0].set(bytes.subarray(end - rowBytes, end), at[0]);
  }
  return parts;
}

/** Each block's bytes from `at` on, which moves along. */
function splitRow(
  dtype: BlockDType,
  bytes: Uint8Array,
  begin: number,
  end: number,
  views: readonly Uint8Array[],
  at: number[],
): void {
  const layout = layoutOf(dtype);
  const fast = Object.hasOwn(fastCopies, dtype) ? fastCopies[dtype] : undefined;
  for (let from = begin; from < end; from += layout.bytes) {
    if (fast) fast(bytes, from, views, at);
    else splitBlock(layout, bytes, from, views, at);
    for (let part = 0; part < at.length; part++) at[part] += layout.partBytes[part];
  }
}

type Copy = (bytes: Uint8Array, from: number, views: readonly Uint8Array[], at: readonly number[]) => void;

/** The formats that most files are in, by whole bytes: the same as their layouts say, several times as fast. */
const fastCopies: Readonly<Record<string, Copy>> = {
  Q8_0(bytes, from, [codes, scales], [code, scale]) {
    copyScale(bytes, from, scales, scale);
    for (let i = 0; i < 32; i++) codes[code + i] = bytes[from + 2 + i];
  },
  /** Byte j of a block holds element j in its lower half and element j + 16 in its upper; the part holds 2 i and 2 i + 1 in byte i. */
  Q4_0(bytes, from, [codes, scales], [code, scale]) {
    copyScale(bytes, from, scales, scale);
    for (let i = 0; i < 8; i++) {
      const [even, odd] = [bytes[from + 2 + 2 * i], bytes[from + 3 + 2 * i]];
      codes[code + i] = (even & 15) | (odd << 4);
      codes[code + 8 + i] = (even >>> 4) | (odd & 0xf0);
    }
  },
};

function copyScale(bytes: Uint8Array, from: number, scales: Uint8Array, scale: number): void {
  scales[scale] = bytes[from];
  scales[scale + 1] = bytes[from + 1];
}

/**
 * The inverse of {@link splitRows}: the bytes of a file for rows of `width` numbers.
 *
 * @throws ShapeError if `width` is not one of whole blocks
 */
export function joinRows(dtype: PackableDType, parts: readonly Words[], width: number): Uint8Array<ArrayBuffer> {
  const { elements, bytes: blockBytes } = blockOf(dtype);
  if (width % elements !== 0) {
    throw new ShapeError(
      `${dtype}: rows must have a multiple of ${elements} numbers, got ${width}; choose another type`,
    );
  }
  const blocks = width / elements;
  const views = parts.map((part) => new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  const rowWords = partSpecs(schemeOf(dtype), [1, width]).map(({ shape }) => shape[1]);
  const rows = width === 0 ? 0 : parts[0].length / rowWords[0];
  const bytes = new Uint8Array(rows * blocks * blockBytes);
  for (let row = 0, to = 0; row < rows; row++) {
    const from = rowWords.map((words) => 4 * words * row);
    if (!isBlockDType(dtype)) {
      bytes.set(views[0].subarray(from[0], from[0] + width * FLOAT_BYTES), row * width * FLOAT_BYTES);
      continue;
    }
    const layout = layoutOf(dtype);
    for (let block = 0; block < blocks; block++, to += blockBytes) {
      joinBlock(layout, views, from, bytes, to);
      for (let part = 0; part < from.length; part++) from[part] += layout.partBytes[part];
    }
  }
  return bytes;
}

/** The numbers of whole blocks. */
export function decodeBlocks(dtype: BlockDType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { elements, bytes: blockBytes } = blockOf(dtype);
  const count = (bytes.byteLength / blockBytes) * elements;
  return decode(schemeOf(dtype), splitRows(dtype, bytes, count), [1, count]);
}
