// Numbers that stay packed: how the bytes of a file's rows become the parts of a scheme, bit by bit. GGUF keeps a block's f16 scale in front of
// its codes; the parts keep all codes of a row together and all its scales.
import { bf16, f16 } from "../quant/schemes/float.js";
import { q4_0 } from "../quant/schemes/q4.js";
import { q8_0 } from "../quant/schemes/q8.js";
import { decode, partSpecs, type Scheme } from "../quant/schemes/scheme.js";

/** Types of GGUF whose numbers lie in blocks. */
export type BlockDType = "Q8_0" | "Q4_0";
/** What a file can hold that a scheme holds as well. */
export type PackableDType = BlockDType | "F16" | "BF16";

interface Packing {
  readonly scheme: Scheme;
  /** Of a file, for `scheme.block` numbers. */
  readonly bytesPerBlock: number;
  /** Copies the codes of one block, which begin at `from` in the file's bytes, to `to` in the part's. Absent where there are no blocks. */
  readonly copyCodes?: (bytes: Uint8Array, from: number, codes: Uint8Array, to: number) => void;
}

const SCALE_BYTES = 2;

function copyBytes(bytes: Uint8Array, from: number, codes: Uint8Array, to: number): void {
  for (let i = 0; i < 32; i++) codes[to + i] = bytes[from + i];
}

/** Byte j of a block holds element j in its lower half and element j + 16 in its upper; the part holds 2 i and 2 i + 1 in byte i. */
function copyNibbles(bytes: Uint8Array, from: number, codes: Uint8Array, to: number): void {
  for (let i = 0; i < 8; i++) {
    const [even, odd] = [bytes[from + 2 * i], bytes[from + 2 * i + 1]];
    codes[to + i] = (even & 15) | (odd << 4);
    codes[to + 8 + i] = (even >>> 4) | (odd & 0xf0);
  }
}

const packings: Readonly<Record<PackableDType, Packing>> = {
  Q8_0: { scheme: q8_0, bytesPerBlock: 34, copyCodes: copyBytes },
  Q4_0: { scheme: q4_0, bytesPerBlock: 18, copyCodes: copyNibbles },
  F16: { scheme: f16, bytesPerBlock: 2 },
  BF16: { scheme: bf16, bytesPerBlock: 2 },
};

export function isPackable(dtype: string): dtype is PackableDType {
  return Object.hasOwn(packings, dtype);
}

export function isBlockDType(dtype: string): dtype is BlockDType {
  return isPackable(dtype) && packings[dtype].copyCodes !== undefined;
}

/** The scheme that holds the same numbers. */
export function schemeOf(dtype: PackableDType): Scheme {
  return packings[dtype].scheme;
}

/** How many numbers lie together in how many bytes. */
export function blockOf(dtype: PackableDType): { readonly elements: number; readonly bytes: number } {
  const { scheme, bytesPerBlock } = packings[dtype];
  return { elements: scheme.block, bytes: bytesPerBlock };
}

/** The words of each part for whole rows of `width` numbers, which blocks divide; laid out as `partSpecs` says. */
export function splitRows(dtype: PackableDType, bytes: Uint8Array, width: number): Uint32Array<ArrayBuffer>[] {
  const { scheme, bytesPerBlock, copyCodes } = packings[dtype];
  const rowBytes = (width / scheme.block) * bytesPerBlock;
  const rows = bytes.byteLength / rowBytes;
  const parts = partSpecs(scheme, [rows, width]).map(({ shape }) => new Uint32Array(shape[0] * shape[1]));
  const [codes, scales] = parts.map((part) => new Uint8Array(part.buffer));
  for (let row = 0; row < rows; row++) {
    const [begin, end] = [row * rowBytes, (row + 1) * rowBytes];
    let code = (row * codes.byteLength) / rows;
    if (copyCodes === undefined) {
      codes.set(bytes.subarray(begin, end), code);
      continue;
    }
    let scale = (row * scales.byteLength) / rows;
    for (let from = begin; from < end; from += bytesPerBlock) {
      scales[scale++] = bytes[from];
      scales[scale++] = bytes[from + 1];
      copyCodes(bytes, from + SCALE_BYTES, codes, code);
      code += bytesPerBlock - SCALE_BYTES;
    }
  }
  return parts;
}

/** The numbers of whole blocks. */
export function decodeBlocks(dtype: BlockDType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { scheme, bytesPerBlock } = packings[dtype];
  const count = (bytes.byteLength / bytesPerBlock) * scheme.block;
  return decode(scheme, splitRows(dtype, bytes, count), [1, count]);
}
