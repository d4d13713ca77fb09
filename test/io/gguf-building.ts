// Builds GGUF files byte by byte from the specification, also wrong ones: the tests' own writer, so that the library cannot agree with itself on
// a mistake.
import { blockOf, joinRows, schemeOf } from "../../src/io/stored-blocks.js";
import { f32ToF16 } from "../../src/quant/schemes/float-codes.js";
import { q4_0 } from "../../src/quant/schemes/q4.js";
import { q8_0 } from "../../src/quant/schemes/q8.js";

type Bytes = Uint8Array<ArrayBuffer>;

export const typeIds = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  BF16: 30,
  MXFP4: 39,
} as const;
export type TensorType = keyof typeof typeIds;

/** A tensor as it stands in a file; `shape` is row-major, the reverse of the file's. */
export interface BuiltTensor {
  readonly name: string;
  readonly type: TensorType | number;
  readonly shape: readonly (number | bigint)[];
  readonly bytes: Bytes;
  /** In the place of the right one. */
  readonly offset?: number | bigint;
}

export function joined(...parts: readonly Uint8Array[]): Bytes {
  const file = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

function number(bytes: number, write: (view: DataView) => void): Bytes {
  const view = new DataView(new ArrayBuffer(bytes));
  write(view);
  return new Uint8Array(view.buffer);
}

export const u8 = (value: number): Bytes => Uint8Array.of(value);
export const u32 = (value: number): Bytes => number(4, (view) => view.setUint32(0, value, true));
export const u64 = (value: number | bigint): Bytes => number(8, (view) => view.setBigUint64(0, BigInt(value), true));
export const f32 = (value: number): Bytes => number(4, (view) => view.setFloat32(0, value, true));

/** A length and UTF-8, or bytes that need not be. */
export function str(text: string | Bytes): Bytes {
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  return joined(u64(bytes.length), bytes);
}

/** A metadata value: its type, then its bytes. */
export const value = {
  u32: (x: number): Bytes => joined(u32(4), u32(x)),
  f32: (x: number): Bytes => joined(u32(6), f32(x)),
  bool: (x: number): Bytes => joined(u32(7), u8(x)),
  string: (x: string | Bytes): Bytes => joined(u32(8), str(x)),
  u64: (x: number | bigint): Bytes => joined(u32(10), u64(x)),
  /** @param type of the elements, given as bytes without their types */
  array: (type: number, elements: readonly Bytes[]): Bytes =>
    joined(u32(9), u32(type), u64(elements.length), ...elements),
};

export interface BuiltFile {
  readonly metadata?: Readonly<Record<string, Bytes>>;
  readonly tensors?: readonly BuiltTensor[];
  readonly alignment?: number;
  readonly version?: number;
  /** In the place of the right one. */
  readonly metadataCount?: number | bigint;
  readonly tensorCount?: number | bigint;
}

export function ggufFile({ metadata = {}, tensors = [], alignment = 32, version = 3, ...counts }: BuiltFile): Bytes {
  const pairs = Object.entries(metadata);
  const infos: Bytes[] = [];
  const data: Bytes[] = [];
  let at = 0;
  for (const { name, type, shape, bytes, offset = at } of tensors) {
    const id = typeof type === "number" ? type : typeIds[type];
    infos.push(str(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(id), u64(offset));
    data.push(padded(bytes, alignment));
    at += data[data.length - 1].length;
  }
  const head = joined(
    new TextEncoder().encode("GGUF"),
    u32(version),
    u64(counts.tensorCount ?? tensors.length),
    u64(counts.metadataCount ?? pairs.length),
    ...pairs.flatMap(([key, bytes]) => [str(key), bytes]),
    ...infos,
  );
  return joined(tensors.length > 0 ? padded(head, alignment) : head, ...data);
}

function padded(bytes: Bytes, alignment: number): Bytes {
  return joined(bytes, new Uint8Array((alignment - (bytes.length % alignment)) % alignment));
}

/**
 * Numbers as a file of this type holds them; rounding is the library's, the order of bytes is written out here for the types that most files are
 * in. For the others it is the library's as well, which test/quant/ggml-schemes.test.ts holds against files of others.
 */
export function encoded(type: TensorType, x: Float32Array<ArrayBuffer>): Bytes {
  if (type === "F32") return new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  if (type === "BF16") return new Uint8Array(Uint16Array.from(new Uint32Array(x.buffer), (word) => word >>> 16).buffer);
  if (type === "F16") return new Uint8Array(Uint16Array.from(x, f32ToF16).buffer);
  if (type !== "Q8_0" && type !== "Q4_0") {
    const { elements } = blockOf(type);
    return joinRows(type, schemeOf(type).encode(x, [x.length / elements, elements]), elements);
  }
  const scheme = type === "Q8_0" ? q8_0 : q4_0;
  const [codes, scales] = scheme.encode(x, [x.length / 32, 32]).map((part) => new Uint8Array(part.buffer));
  const codeBytes = type === "Q8_0" ? 32 : 16;
  const blocks: Bytes[] = [];
  for (let block = 0; block < x.length / 32; block++) {
    const own = codes.slice(block * codeBytes, (block + 1) * codeBytes);
    blocks.push(scales.slice(4 * block, 4 * block + 2), type === "Q8_0" ? own : halves(own));
  }
  return joined(...blocks);
}

/** From elements two by two to elements j and j + 16. */
function halves(pairs: Bytes): Bytes {
  const element = (i: number): number => (i % 2 === 0 ? pairs[i / 2] & 15 : pairs[(i - 1) / 2] >>> 4);
  return Uint8Array.from({ length: 16 }, (_, j) => element(j) | (element(j + 16) << 4));
}
