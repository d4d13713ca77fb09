// Reads the values of a GGUF header, one behind the other, out of the first bytes of a file. Every length is held against the file before
// anything of that length is made; where only the window ends and the file goes on, `WindowEnds` asks for a longer window.
import { FormatError } from "../core/errors.js";
import {
  ARRAY,
  BOOL,
  numberTypes,
  STRING,
  typeName,
  type MetadataNumbers,
  type MetadataType,
  type NumberType,
} from "./gguf-value-types.js";
import { show } from "./json-text.js";

/** What a metadata key can hold: arrays of numbers are typed arrays, arrays of anything else plain ones. */
export type MetadataValue = number | boolean | string | MetadataNumbers | readonly MetadataValue[];

/** The header goes on behind the bytes at hand. Never leaves the reader. */
export class WindowEnds extends Error {
  override readonly name = "WindowEnds";
}

/** Longest header that is read; the largest vocabularies take about 20 MB. */
export const MAX_GGUF_HEADER_BYTES = 100_000_000;
/** Arrays of arrays are allowed, and nobody writes them. */
const MAX_ARRAY_DEPTH = 4;

const BYTES_OF_LENGTH = 8;
const BYTES_OF_TYPE = 4;

/** Fewest bytes that a value of the type takes: what a count is held against. */
function leastBytes(type: number): number {
  if (type === BOOL) return 1;
  if (type === STRING) return BYTES_OF_LENGTH;
  return type === ARRAY ? BYTES_OF_TYPE + BYTES_OF_LENGTH : numberTypes[type].bytes;
}

export class HeaderReader {
  /** What is being read, for messages. */
  place = "header";
  readonly #file: string;
  readonly #fileBytes: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #at = 0;

  /** @param bytes the first ones of a file of `fileBytes` */
  constructor(file: string, bytes: Uint8Array, fileBytes: number) {
    this.#file = file;
    this.#fileBytes = fileBytes;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes read so far. */
  get at(): number {
    return this.#at;
  }

  fail(flaw: string): never {
    throw new FormatError(`${this.#file}: ${this.place} ${flaw}`);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** @throws FormatError if the number is not exact as a double */
  u64(): number {
    return this.#exact(this.#view.getBigUint64(this.#take(8), true));
  }

  /** How many of something follow, each of at least `bytes` bytes. */
  count(bytes: number): number {
    const count = this.u64();
    this.#expect(count * bytes);
    return count;
  }

  string(maxBytes: number): string {
    const length = this.u64();
    if (length > maxBytes) this.fail(`must be a string of at most ${maxBytes} bytes, got ${length}`);
    const at = this.#take(length);
    try {
      return this.#decoder.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.fail("must be UTF-8");
    }
  }

  /** A value behind its type. */
  value(): { readonly type: MetadataType; readonly value: MetadataValue } {
    const type = this.#type();
    if (type !== ARRAY) return { type: typeName(type), value: this.#valueOf(type, 0) };
    const at = this.#at;
    const elements = this.#type();
    this.#at = at;
    return { type: `${typeName(elements)}[]`, value: this.#valueOf(type, 0) };
  }

  #type(): number {
    const type = this.u32();
    if (type === BOOL || type === STRING || type === ARRAY || Object.hasOwn(numberTypes, type)) return type;
    return this.fail(`must have one of the format's types, 0 to 12, got ${type}`);
  }

  #valueOf(type: number, depth: number): MetadataValue {
    if (type === STRING) return this.string(MAX_GGUF_HEADER_BYTES);
    if (type === BOOL) return this.#bool();
    return type === ARRAY ? this.#array(depth + 1) : this.#number(numberTypes[type]);
  }

  #array(depth: number): MetadataValue {
    if (depth > MAX_ARRAY_DEPTH) this.fail(`must nest at most ${MAX_ARRAY_DEPTH} arrays`);
    const type = this.#type();
    const count = this.count(leastBytes(type));
    if (!Object.hasOwn(numberTypes, type)) return Array.from({ length: count }, () => this.#valueOf(type, depth));
    const numbers = numberTypes[type].make(count);
    for (let i = 0; i < count; i++) numbers[i] = this.#number(numberTypes[type]);
    return numbers;
  }

  #bool(): boolean {
    const byte = this.#bytes[this.#take(1)];
    if (byte > 1) this.fail(`must be 0 or 1 where it is a truth value, got ${byte}`);
    return byte === 1;
  }

  #number({ bytes, read }: NumberType): number {
    return this.#exact(read(this.#view, this.#take(bytes)));
  }

  #exact(value: number | bigint): number {
    if (typeof value === "number" || Number.isSafeInteger(Number(value))) return Number(value);
    return this.fail(`must be an integer within 2^53, got ${value}`);
  }

  /** Moves on by `count` bytes; returns where they begin. */
  #take(count: number): number {
    this.#expect(count);
    const at = this.#at;
    this.#at += count;
    return at;
  }

  #expect(count: number): void {
    const end = this.#at + count;
    if (end > this.#fileBytes) {
      this.fail(
        `must lie within the file of ${this.#fileBytes} bytes, got ${count} bytes from byte ${this.#at} on; the file may be truncated`,
      );
    }
    if (end > MAX_GGUF_HEADER_BYTES) this.fail(`must lie within the first ${MAX_GGUF_HEADER_BYTES} bytes, got ${end}`);
    if (end > this.#bytes.byteLength) throw new WindowEnds();
  }
}

/** A value from a header as messages show it. */
export function showValue(value: MetadataValue | undefined): string {
  return typeof value === "object" ? `an array of ${value.length}` : show(value);
}
