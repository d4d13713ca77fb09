// Reads safetensors files: 8 bytes of header length, a JSON header, then the tensors without gaps. Files come from strangers, so everything
// that the header says is checked before anything is read by it, and nothing is allocated that the file is not large enough to fill.
import { FormatError } from "../core/errors.js";
import { showShape, type Shape } from "../core/shape.js";
import { decodeText, isJsonObject, parseJson, quote, show } from "./json-text.js";
import { asSource, readExactly, type Source, type SourceLike } from "./source.js";
import { bitsOf, decodeElements, isStoredDType, type ElementType, type StoredDType } from "./stored-elements.js";

/** Longest header that the format allows. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Tensors begin behind the length and the header. */
export const LENGTH_BYTES = 8;
/** The key of the header that is no tensor. */
export const METADATA_KEY = "__metadata__";
/** Object, tensor, list: a header has no reason to nest deeper. */
const HEADER_DEPTH = 3;

/** Where one tensor lies. */
export interface TensorEntry<D extends ElementType = StoredDType> {
  readonly name: string;
  readonly dtype: D;
  readonly shape: Shape;
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** Behind the last byte. */
  readonly end: number;
}

/** An opened file: its header, read and checked. */
export interface Safetensors {
  readonly source: Source;
  /** By name, in the order in which they lie in the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads and checks the header.
 *
 * @param from the file; `name` is what messages call it if it is bare bytes.
 * @throws FormatError that names the file and the field.
 */
export async function openSafetensors(from: SourceLike, name?: string): Promise<Safetensors> {
  const source = asSource(from, name);
  if (source.byteLength < LENGTH_BYTES) {
    throw new FormatError(`${source.name}: must begin with 8 bytes of header length, got ${source.byteLength} bytes`);
  }
  const dataBegin = LENGTH_BYTES + (await headerLength(source));
  const text = decodeText(`${source.name}: header`, await readExactly(source, LENGTH_BYTES, dataBegin));
  if (!text.startsWith("{")) throw new FormatError(`${source.name}: header must be a JSON object that begins with {`);
  const header = parseJson(`${source.name}: header`, text, HEADER_DEPTH);
  if (!isJsonObject(header)) throw new FormatError(`${source.name}: header must be a JSON object`);
  const entries: TensorEntry[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [key, value] of Object.entries(header)) {
    if (key === METADATA_KEY) metadata = readMetadata(source.name, value);
    else entries.push(readEntry(source, dataBegin, key, value));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCover(source, dataBegin, entries);
  return { source, tensors: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

/**
 * Reads one tensor: floating-point numbers as f32, integers as i32.
 *
 * @throws FormatError if its type is none of F64, F32, F16, BF16, Q8_0, Q4_0, I64, I32, U32, or an integer does not fit into i32.
 */
export async function readElements(
  source: Source,
  entry: TensorEntry<ElementType>,
): Promise<Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>> {
  const bytes = await readExactly(source, entry.begin, entry.end);
  return decodeElements(`${source.name}: tensor ${quote(entry.name)}`, entry.dtype, bytes);
}

async function headerLength(source: Source): Promise<number> {
  const bytes = await readExactly(source, 0, LENGTH_BYTES);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  // Compared as it stands: above 2^53 a number would be another one.
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new FormatError(`${source.name}: header length must be at most ${MAX_HEADER_BYTES} bytes, got ${length}`);
  }
  if (Number(length) <= source.byteLength - LENGTH_BYTES) return Number(length);
  throw new FormatError(
    `${source.name}: header length must fit into the file of ${source.byteLength} bytes, got ${length}; the file is truncated`,
  );
}

function readMetadata(file: string, value: unknown): ReadonlyMap<string, string> {
  if (!isJsonObject(value)) throw new FormatError(`${file}: ${METADATA_KEY} must be an object, got ${show(value)}`);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new FormatError(`${file}: ${METADATA_KEY} ${quote(key)} must be a string, got ${show(text)}`);
    }
    metadata.set(key, text);
  }
  return metadata;
}

function readEntry(source: Source, dataBegin: number, name: string, value: unknown): TensorEntry {
  const where = `${source.name}: tensor ${quote(name)}`;
  if (!isJsonObject(value)) throw new FormatError(`${where}: must be an object, got ${show(value)}`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isStoredDType(dtype)) {
    throw new FormatError(`${where}: dtype must be one of the format's (F32, BF16, ...), got ${show(dtype)}`);
  }
  if (!isExtents(shape)) {
    throw new FormatError(`${where}: shape must be a list of non-negative integers, got ${show(shape)}`);
  }
  if (!isExtents(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw new FormatError(`${where}: data_offsets must be [begin, end] with 0 <= begin <= end, got ${show(offsets)}`);
  }
  const dataBytes = source.byteLength - dataBegin;
  if (offsets[1] > dataBytes) {
    throw new FormatError(
      `${where}: data_offsets must lie within the ${dataBytes} bytes behind the header, got ${show(offsets)}; the file may be truncated`,
    );
  }
  const expected = byteLengthOf(dtype, shape);
  if (offsets[1] - offsets[0] !== expected) {
    const size = expected === undefined ? "more bytes than any file has" : `${expected} bytes`;
    throw new FormatError(
      `${where}: data_offsets must cover the ${size} of ${dtype} ${showShape(shape)}, got ${show(offsets)}`,
    );
  }
  return { name, dtype, shape, begin: dataBegin + offsets[0], end: dataBegin + offsets[1] };
}

function isExtents(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((extent) => Number.isSafeInteger(extent) && (extent as number) >= 0);
}

/** Undefined where a product leaves the exact integers, or packed elements do not fill whole bytes. */
export function byteLengthOf(dtype: StoredDType, shape: Shape): number | undefined {
  let bits = bitsOf(dtype);
  for (const extent of shape) {
    bits *= extent;
    if (bits > Number.MAX_SAFE_INTEGER) return undefined;
  }
  return bits % 8 === 0 ? bits / 8 : undefined;
}

/** The format wants every byte behind the header to belong to exactly one tensor, so that nothing can hide in a file. */
function checkCover(source: Source, dataBegin: number, entries: readonly TensorEntry[]): void {
  let at = dataBegin;
  for (const { name, begin, end } of entries) {
    if (begin !== at) {
      const flaw = begin < at ? "overlap the tensor before it" : "leave a gap before it";
      throw new FormatError(
        `${source.name}: tensor ${quote(name)}: data_offsets must not ${flaw}, got [${begin - dataBegin},${end - dataBegin}] behind byte ${at - dataBegin}`,
      );
    }
    at = end;
  }
  if (at !== source.byteLength) {
    throw new FormatError(
      `${source.name}: the last tensor must end with the file of ${source.byteLength} bytes, got ${source.byteLength - at} bytes behind it`,
    );
  }
}
