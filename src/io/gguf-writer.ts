// Writes GGUF files as ggml lays them out: metadata and the table of tensors in the order given, each tensor aligned behind them. All that the
// reader would refuse is refused here.
import { FormatError } from "../core/errors.js";
import { showShape, sizeOf, type Shape } from "../core/shape.js";
import { alignmentOf } from "./gguf.js";
import { MAGIC_NUMBER, MAX_KEY_BYTES, MAX_NAME_BYTES, tensorTypeIds, VERSION, type GgufDType } from "./gguf-format.js";
import { numberTypes, typeId, type MetadataNumbers, type MetadataType, type NumberType } from "./gguf-value-types.js";
import { MAX_GGUF_HEADER_BYTES, showValue, type MetadataValue } from "./gguf-values.js";
import { quote } from "./json-text.js";
import { unitOf } from "./stored-elements.js";

/** What the table says about one tensor; `shape` is row-major, the reverse of the file's. */
export interface GgufSpec {
  readonly name: string;
  readonly dtype: GgufDType;
  readonly shape: Shape;
}

/** A value and what it is stored as. */
export interface TypedValue {
  readonly type: MetadataType;
  readonly value: MetadataValue;
}

export interface GgufPlan {
  /** All bytes before the first tensor. */
  readonly head: Uint8Array<ArrayBuffer>;
  /** Behind each tensor come zeros up to a multiple of it. */
  readonly alignment: number;
  /** Of the whole file. */
  readonly byteLength: number;
}

/**
 * Lays out a file before any number of it is known.
 *
 * @throws FormatError if a value does not fit its type, a key or name is too long, or the header grows beyond 100 MB
 */
export function planGguf(specs: readonly GgufSpec[], metadata: ReadonlyMap<string, TypedValue>): GgufPlan {
  const alignment = alignmentOf("gguf", new Map([...metadata].map(([key, { value }]) => [key, value])));
  const head = new HeaderBytes();
  for (const word of [MAGIC_NUMBER, VERSION]) head.number("u32", word);
  for (const count of [specs.length, metadata.size]) head.number("u64", count);
  for (const [key, typed] of metadata) {
    head.place = `metadata ${quote(key)}`;
    head.string(key, MAX_KEY_BYTES);
    head.typed(typed);
  }
  let offset = 0;
  for (const { name, dtype, shape } of specs) {
    head.place = `tensor ${quote(name)}`;
    head.string(name, MAX_NAME_BYTES);
    head.number("u32", shape.length);
    for (const extent of [...shape].reverse()) head.number("u64", extent);
    head.number("u32", tensorTypeIds[dtype]);
    head.number("u64", offset);
    offset += aligned(byteLengthOf(dtype, shape), alignment);
  }
  const bytes = head.bytes(alignment);
  return { head: bytes, alignment, byteLength: bytes.byteLength + offset };
}

/** @throws FormatError unless rows are of whole blocks */
function byteLengthOf(dtype: GgufDType, shape: Shape): number {
  const { elements, bytes } = unitOf(dtype);
  if (shape[shape.length - 1] % elements === 0) return (sizeOf(shape) / elements) * bytes;
  throw new FormatError(`gguf: ${dtype} must have rows of a multiple of ${elements} numbers, got ${showShape(shape)}`);
}

export function aligned(byteLength: number, alignment: number): number {
  return Math.ceil(byteLength / alignment) * alignment;
}

/** What a value is stored as unless it is said: integers in 32 bits, other numbers as f32; of a typed array its own type. */
export function usualType(value: MetadataValue): MetadataType {
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  if (typeof value === "number") return !Number.isInteger(value) ? "f32" : value < 0 ? "i32" : "u32";
  if (isNumbers(value)) return `${ownType(value).name}[]`;
  const [first] = value;
  return typeof first === "boolean" ? "bool[]" : typeof first === "object" ? "array[]" : "string[]";
}

function isNumbers(value: MetadataValue): value is MetadataNumbers {
  return ArrayBuffer.isView(value);
}

/** The type of the array's elements as they lie in memory. */
function ownType(numbers: MetadataNumbers): NumberType {
  const types = Object.values(numberTypes).reverse(); // a Float64Array is f64 before it is a list of 64-bit integers
  return types.find(({ make }) => numbers instanceof make(0).constructor) ?? types[0];
}

/** Bytes that grow. */
class HeaderBytes {
  /** What is being written, for messages. */
  place = "header";
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(2 ** 16);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  typed({ type, value }: TypedValue): void {
    const element = type.endsWith("[]") ? type.slice(0, -2) : undefined;
    if (element === undefined) {
      this.number("u32", this.#idOf(type));
      this.#value(type, value);
      return;
    }
    if (typeof value !== "object") this.#fail(`be a list to be ${type}`, value);
    for (const id of [this.#idOf("array"), this.#idOf(element)]) this.number("u32", id);
    this.number("u64", value.length);
    if (isNumbers(value) && ownType(value).name === element) this.#append(bytesOf(value));
    else for (const item of value) this.#value(element, item);
  }

  number(type: string, value: number): void {
    const at = this.#take(numberOf(type)?.bytes ?? 0);
    const view = this.#view;
    const whole = Number.isSafeInteger(value);
    const bits = Number(type.slice(1));
    const fits = type.startsWith("u")
      ? whole && value >= 0 && value < 2 ** bits
      : whole && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1);
    if (type === "f64") return view.setFloat64(at, value, true);
    if (type === "f32") {
      if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) this.#fail("fit into f32", value);
      return view.setFloat32(at, value, true);
    }
    if (!fits) this.#fail(`be an integer that fits into ${type}`, value);
    if (bits === 64) view.setBigInt64(at, BigInt(value), true);
    else if (bits === 32) view.setInt32(at, value, true);
    else if (bits === 16) view.setInt16(at, value, true);
    else view.setInt8(at, value);
  }

  string(text: string, maxBytes = MAX_GGUF_HEADER_BYTES): void {
    const bytes = this.#encoder.encode(text);
    if (bytes.byteLength > maxBytes)
      this.#fail(`be a string of at most ${maxBytes} bytes`, `${bytes.byteLength} bytes`);
    this.number("u64", bytes.byteLength);
    this.#append(bytes);
  }

  /** All of it, and zeros up to a multiple of `alignment`. */
  bytes(alignment: number): Uint8Array<ArrayBuffer> {
    const end = this.#at;
    this.#take(aligned(end, alignment) - end);
    return this.#bytes.slice(0, this.#at);
  }

  #value(type: string, value: MetadataValue): void {
    if (type === "string" && typeof value === "string") return this.string(value);
    if (type === "bool" && typeof value === "boolean") return this.#append(Uint8Array.of(value ? 1 : 0));
    if (numberOf(type) !== undefined && typeof value === "number") return this.number(type, value);
    this.#fail(type === "array" ? "not be lists in lists" : `be a value of type ${type}`, value);
  }

  #idOf(type: string): number {
    return typeId(type) ?? this.#fail("have one of the format's types", type);
  }

  #append(bytes: Uint8Array): void {
    const at = this.#take(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  /** Moves on by `count` bytes, which are 0; returns where they begin. */
  #take(count: number): number {
    const at = this.#at;
    this.#at += count;
    if (this.#at > MAX_GGUF_HEADER_BYTES)
      this.#fail(`end within ${MAX_GGUF_HEADER_BYTES} bytes of header`, `${this.#at}`);
    if (this.#at > this.#bytes.byteLength) {
      const longer = new Uint8Array(2 * this.#at);
      longer.set(this.#bytes);
      this.#bytes = longer;
      this.#view = new DataView(longer.buffer);
    }
    return at;
  }

  #fail(rule: string, value: MetadataValue): never {
    throw new FormatError(`gguf: ${this.place} must ${rule}, got ${showValue(value)}`);
  }
}

function numberOf(type: string): NumberType | undefined {
  return numberTypes[typeId(type) ?? -1];
}

function bytesOf({ buffer, byteOffset, byteLength }: MetadataNumbers): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
