// Reads GGUF files, version 3: metadata, a table of tensors, then the tensors, each aligned. Files come from strangers, so everything that the
// header says is checked before anything is read by it, and nothing is allocated that the file is not large enough to fill.
import { FormatError } from "../core/errors.js";
import { showShape, type Shape } from "../core/shape.js";
import {
  DEFAULT_ALIGNMENT,
  GGUF_MAGIC,
  MAGIC_NUMBER,
  MAX_KEY_BYTES,
  MAX_NAME_BYTES,
  MAX_RANK,
  tensorTypeIds,
  VERSION,
  type GgufDType,
} from "./gguf-format.js";
import type { MetadataType } from "./gguf-value-types.js";
import { HeaderReader, MAX_GGUF_HEADER_BYTES, showValue, WindowEnds, type MetadataValue } from "./gguf-values.js";
import { quote } from "./json-text.js";
import type { TensorEntry } from "./safetensors.js";
import { asSource, readExactly, type Source, type SourceLike } from "./source.js";
import { unitOf, type ElementType } from "./stored-elements.js";

/** An empty key, a type, a value of one byte. */
const LEAST_PAIR_BYTES = 13;
/** A name, a rank, one extent, a type, an offset. */
const LEAST_TENSOR_BYTES = 32;
/** Enough for a header without a vocabulary; one with a vocabulary takes another read or two. */
const FIRST_WINDOW_BYTES = 2 ** 20;

/** The element types by the format's ids. */
const readable: Readonly<Record<number, GgufDType>> = /* @__PURE__ */ Object.fromEntries(
  Object.entries(tensorTypeIds).map(([dtype, id]) => [id, dtype as GgufDType]),
);
/** Those that files often hold besides, for messages. */
const others: Readonly<Record<number, string>> = {
  10: "Q2_K",
  11: "Q3_K",
  23: "IQ4_XS",
  40: "NVFP4",
};

/** An opened file: its header, read and checked. */
export interface Gguf {
  readonly source: Source;
  /** Everything that the file says about itself, the tokenizer included, under the file's keys. */
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** What each of these is stored as, which `saveGguf` needs to write it again as it was. */
  readonly metadataTypes: ReadonlyMap<string, MetadataType>;
  /** By name, in the order of the header. Shapes are row-major, the reverse of the file's: rows are what lies together. */
  readonly tensors: ReadonlyMap<string, TensorEntry<ElementType>>;
}

/** A tensor of the table, before it is known where the tensors begin. */
interface Listed {
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: Shape;
  readonly offset: number;
  readonly byteLength: number;
}

interface Header extends Pick<Gguf, "metadata" | "metadataTypes"> {
  readonly listed: readonly Listed[];
  readonly byteLength: number;
}

/**
 * Reads and checks the header.
 *
 * @param from the file; `name` is what messages call it if it is bare bytes.
 * @throws FormatError that names the file and the field.
 */
export async function openGguf(from: SourceLike, name?: string): Promise<Gguf> {
  const source = asSource(from, name);
  const { listed, byteLength, ...header } = await readHeader(source);
  const alignment = alignmentOf(source.name, header.metadata);
  const dataBegin = Math.ceil(byteLength / alignment) * alignment;
  const entries = listed.map((tensor) => place(source, tensor, dataBegin, alignment));
  checkApart(source.name, entries);
  return { source, ...header, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
}

/** Where the header ends is known only after it is read, so it is read with longer and longer windows. */
async function readHeader(source: Source): Promise<Header> {
  const most = Math.min(source.byteLength, MAX_GGUF_HEADER_BYTES);
  let window = await readExactly(source, 0, Math.min(most, FIRST_WINDOW_BYTES));
  for (;;) {
    try {
      return parseHeader(new HeaderReader(source.name, window, source.byteLength));
    } catch (error) {
      if (!(error instanceof WindowEnds)) throw error;
    }
    const longer = new Uint8Array(Math.min(most, 4 * window.byteLength));
    longer.set(window);
    longer.set(await readExactly(source, window.byteLength, longer.byteLength), window.byteLength);
    window = longer;
  }
}

function parseHeader(reader: HeaderReader): Header {
  const magic = reader.u32();
  if (magic !== MAGIC_NUMBER) reader.fail(`must begin with ${GGUF_MAGIC}, got 0x${magic.toString(16)}`);
  const version = reader.u32();
  if (version !== VERSION) {
    const given = version === VERSION * 2 ** 24 ? "a big-endian file" : version;
    reader.fail(`must be of version ${VERSION}, got ${given}; convert the file with a current llama.cpp`);
  }
  reader.place = "tensor count";
  const tensors = reader.count(LEAST_TENSOR_BYTES);
  reader.place = "metadata count";
  const metadata = readMetadata(reader, reader.count(LEAST_PAIR_BYTES));
  return { ...metadata, listed: readTable(reader, tensors), byteLength: reader.at };
}

function readMetadata(reader: HeaderReader, count: number): Pick<Gguf, "metadata" | "metadataTypes"> {
  const metadata = new Map<string, MetadataValue>();
  const metadataTypes = new Map<string, MetadataType>();
  for (let i = 0; i < count; i++) {
    reader.place = `metadata key ${i}`;
    const key = reader.string(MAX_KEY_BYTES);
    reader.place = `metadata ${quote(key)}`;
    if (metadata.has(key)) reader.fail("must not be given twice");
    const { type, value } = reader.value();
    metadata.set(key, value);
    metadataTypes.set(key, type);
  }
  return { metadata, metadataTypes };
}

function readTable(reader: HeaderReader, count: number): Listed[] {
  const names = new Set<string>();
  const listed: Listed[] = [];
  for (let i = 0; i < count; i++) {
    reader.place = `tensor name ${i}`;
    const name = reader.string(MAX_NAME_BYTES);
    reader.place = `tensor ${quote(name)}`;
    if (names.has(name)) reader.fail("must not be listed twice");
    names.add(name);
    listed.push(readListed(reader, name));
  }
  return listed;
}

function readListed(reader: HeaderReader, name: string): Listed {
  const rank = reader.u32();
  if (rank < 1 || rank > MAX_RANK) reader.fail(`must have 1 to ${MAX_RANK} axes, got ${rank}`);
  const shape = Array.from({ length: rank }, () => reader.u64()).reverse();
  const type = reader.u32();
  const dtype = readable[type];
  if (dtype === undefined) {
    const known = Object.values(readable).join(", ");
    reader.fail(`must have type ${known}, got ${others[type] ?? type}; convert the file with llama-quantize --pure`);
  }
  const unit = unitOf(dtype);
  const width = shape[rank - 1];
  if (width % unit.elements !== 0) {
    reader.fail(`must have rows of a multiple of ${unit.elements} numbers to be ${dtype}, got ${showShape(shape)}`);
  }
  const byteLength = shape.reduce((bytes, extent) => bytes * extent, unit.bytes) / unit.elements;
  if (!Number.isSafeInteger(byteLength)) reader.fail(`must have fewer than 2^53 bytes, got ${showShape(shape)}`);
  return { name, dtype, shape, offset: reader.u64(), byteLength };
}

export function alignmentOf(file: string, metadata: ReadonlyMap<string, MetadataValue>): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (typeof alignment === "number" && alignment > 0 && alignment % 8 === 0 && alignment < 2 ** 32) return alignment;
  throw new FormatError(
    `${file}: metadata "general.alignment" must be a positive multiple of 8 below 2^32, got ${showValue(alignment)}`,
  );
}

function place(
  source: Source,
  { name, dtype, shape, offset, byteLength }: Listed,
  dataBegin: number,
  alignment: number,
): TensorEntry<ElementType> {
  const where = `${source.name}: tensor ${quote(name)}`;
  if (offset % alignment !== 0) {
    throw new FormatError(`${where}: must begin at a multiple of ${alignment} bytes, got offset ${offset}`);
  }
  const begin = dataBegin + offset;
  const end = begin + byteLength;
  if (end <= source.byteLength) return { name, dtype, shape, begin, end };
  throw new FormatError(
    `${where}: must lie within the file of ${source.byteLength} bytes, got bytes ${begin} to ${end}; the file may be truncated`,
  );
}

function checkApart(file: string, entries: readonly TensorEntry<ElementType>[]): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  for (let i = 1; i < sorted.length; i++) {
    const [before, entry] = [sorted[i - 1], sorted[i]];
    if (entry.begin >= before.end) continue;
    throw new FormatError(
      `${file}: tensor ${quote(entry.name)}: must begin behind ${quote(before.name)}, which ends at byte ${before.end}, got ${entry.begin}`,
    );
  }
}
