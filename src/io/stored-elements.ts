// How files store numbers, and the way between those bytes and typed arrays. Files are little-endian, like every engine that runs this.
import { BYTES_PER_ELEMENT } from "../core/dtype.js";
import { CheckpointError, FormatError } from "../core/errors.js";
import { f16ToF32, f32ToBf16, f32ToF16 } from "../quant/schemes/float-codes.js";
import { blockOf, decodeBlocks, isBlockDType, type BlockDType } from "./stored-blocks.js";

/** Bits of each element type, in the format's own order: by growing alignment. Writers put the last first. */
const bitsPerElement = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** The element types of the safetensors format. */
export type StoredDType = keyof typeof bitsPerElement;
/** The element types of all formats. */
export type ElementType = StoredDType | BlockDType;

const order: readonly string[] = /* @__PURE__ */ Object.keys(bitsPerElement);

export function isStoredDType(value: unknown): value is StoredDType {
  return typeof value === "string" && Object.hasOwn(bitsPerElement, value);
}

export function bitsOf(dtype: StoredDType): number {
  return bitsPerElement[dtype];
}

/** How many numbers lie together in how many bytes. Only for types whose elements fill whole bytes. */
export function unitOf(dtype: ElementType): { readonly elements: number; readonly bytes: number } {
  return isBlockDType(dtype) ? blockOf(dtype) : { elements: 1, bytes: bitsOf(dtype) / 8 };
}

/** Where the type stands in the format's order. */
export function rankOf(dtype: StoredDType): number {
  return order.indexOf(dtype);
}

/**
 * Decodes F64 (rounded), F32, F16, BF16 and the block types of GGUF to f32; I32, U32 and I64 to i32. The result is a copy, so the bytes may begin anywhere.
 *
 * @throws FormatError if an integer does not fit into i32, or the type is none of these.
 */
export function decodeElements(
  where: string,
  dtype: ElementType,
  bytes: Uint8Array,
): Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> {
  if (isBlockDType(dtype)) return decodeBlocks(dtype, bytes);
  switch (dtype) {
    case "F64":
      return new Float32Array(new Float64Array(copyOf(bytes)));
    case "F32":
      return new Float32Array(copyOf(bytes));
    case "F16":
      return decodeF16(new Uint16Array(copyOf(bytes)));
    case "BF16":
      return decodeBf16(new Uint16Array(copyOf(bytes)));
    case "I32":
      return new Int32Array(copyOf(bytes));
    case "U32":
      return decodeU32(where, new Int32Array(copyOf(bytes)));
    case "I64":
      return decodeI64(where, new Int32Array(copyOf(bytes)));
    default:
      throw new FormatError(`${where}: must hold F64, F32, F16, BF16, I64, I32 or U32 to be read, got ${dtype}`);
  }
}

/** The bytes alone in a buffer: typed arrays need an aligned start. */
export function copyOf(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}

let f16Values: Float32Array | undefined;

function decodeF16(codes: Uint16Array): Float32Array<ArrayBuffer> {
  const values = (f16Values ??= Float32Array.from({ length: 2 ** 16 }, (_, code) => f16ToF32(code)));
  const out = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i] = values[codes[i]];
  return out;
}

function decodeBf16(codes: Uint16Array): Float32Array<ArrayBuffer> {
  const words = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) words[i] = codes[i] << 16;
  return new Float32Array(words.buffer);
}

function decodeU32(where: string, words: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const at = words.findIndex((word) => word < 0);
  if (at < 0) return words;
  throw new FormatError(`${where}: element ${at} must fit into i32, got ${words[at] >>> 0}`);
}

function decodeI64(where: string, words: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(words.length / 2);
  for (let i = 0; i < out.length; i++) {
    const [low, high] = [words[2 * i], words[2 * i + 1]];
    if (high !== low >> 31) {
      const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
      throw new FormatError(`${where}: element ${i} must fit into i32, got ${value}`);
    }
    out[i] = low;
  }
  return out;
}

/** What weights can be written as. */
export type WeightDType = "f32" | "f16" | "bf16";

/** The name of a weight type in a safetensors header. */
export function storedName(dtype: WeightDType): "F32" | "F16" | "BF16" {
  return dtype === "f32" ? "F32" : dtype === "f16" ? "F16" : "BF16";
}

/**
 * The bytes of f32 numbers as `dtype`, rounded to nearest, ties to even.
 *
 * @throws CheckpointError if a finite number would become infinite.
 */
export function encodeWeights(where: string, dtype: WeightDType, data: Float32Array): Uint8Array<ArrayBuffer> {
  if (dtype === "f32") {
    const bytes = new Uint8Array(data.length * BYTES_PER_ELEMENT);
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return bytes;
  }
  const [encode, infinity] = dtype === "f16" ? [f32ToF16, 0x7c00] : [f32ToBf16, 0x7f80];
  const codes = new Uint16Array(data.length);
  for (let i = 0; i < codes.length; i++) {
    codes[i] = encode(data[i]);
    if ((codes[i] & 0x7fff) === infinity && Number.isFinite(data[i])) {
      throw new CheckpointError(`${where}: every number must fit into ${dtype}, got ${data[i]}; save as f32 or bf16`);
    }
  }
  return new Uint8Array(codes.buffer);
}
