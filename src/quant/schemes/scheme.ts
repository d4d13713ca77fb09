// How numbers are stored in few bits: a scheme describes its parts and encodes; one formula decodes every scheme from that description.
import type { DType } from "../../core/dtype.js";
import { ShapeError } from "../../core/errors.js";
import { rowsOf, showShape, sizeOf } from "../../core/shape.js";
import type { Shape } from "../../core/shape.js";
import type { SchemeName } from "../../core/view.js";
import { codeAt, maskOf, wordsFor } from "./bits.js";
import { bf16ToF32, e4m3ToF32, e5m2ToF32, e8m0ToF32, f16ToF32 } from "./float-codes.js";

/** Parts are u32 words, or f32 where `as` is "f32", as WGSL wants them. */
export type Words = Float32Array | Uint32Array;

export interface Part {
  readonly role: "code" | "zero" | "scale" | "offset";
  /** How many elements share one number: a block runs along the last axis, a tile covers rows and columns of the last two. */
  readonly per: "element" | "block" | "superblock" | "row" | "tile" | "tensor";
  /** 2..8, 16 or 32. */
  readonly bits: number;
  /** What a code stands for; a list is a codebook. */
  readonly as: "uint" | "int" | "f32" | "f16" | "bf16" | "e4m3" | "e5m2" | "e8m0" | readonly number[];
}

export interface Scheme {
  readonly name: SchemeName;
  readonly parts: readonly Part[];
  readonly block: number;
  readonly superblock?: number;
  readonly tile?: readonly [rows: number, columns: number];
  /** "leastSquares" where `encode` searches for the scales, weighing by importances. */
  readonly scales?: "leastSquares";
  /** Set where backends encode otherwise under this name, by a simpler rule: `quantize` refuses it then. */
  readonly hostOnly?: true;
  /**
   * The words of each part, laid out as {@link partSpecs} says.
   * @param importance how much the error of each column counts, one number for each or one for each of every matrix of a stack (as [E, in]);
   *   all count alike unless given, and where a group's are all 0
   */
  encode(x: Float32Array, shape: Shape, importance?: Float32Array): readonly Words[];
}

/** What holds one part: its element type, and its shape [rows, words per row] (per tile: tile rows; per tensor: one row). */
export interface PartSpec {
  readonly dtype: DType;
  readonly shape: readonly [rows: number, wordsPerRow: number];
}

/**
 * The views that numbers of `shape` take, in the order of `scheme.parts`. Row r of a part belongs to row r of the numbers (all axes but the
 * last taken together), so gathering rows of numbers is gathering rows of each part. A tile part has a row for each row of tiles of each
 * matrix (the last two axes), a tensor part a single one.
 */
export function partSpecs(scheme: Scheme, shape: Shape): PartSpec[] {
  return scheme.parts.map((part) => ({
    dtype: part.as === "f32" ? "f32" : "u32",
    shape: [partRows(scheme, part, shape), wordsPerRow(scheme, part, shape)],
  }));
}

function wordsPerRow(scheme: Scheme, part: Part, shape: Shape): number {
  const { width } = rowsOf(shape);
  if (part.per === "tensor") return wordsFor(1, part.bits);
  return wordsFor(width === 0 ? 0 : Math.ceil(width / Math.min(groupWidth(scheme, part), width)), part.bits);
}

function partRows(scheme: Scheme, part: Part, shape: Shape): number {
  if (part.per === "tensor") return 1;
  const { rows } = rowsOf(shape);
  if (part.per !== "tile") return rows;
  const height = matrixHeight(shape);
  return height === 0 ? 0 : (rows / height) * Math.ceil(height / tileOf(scheme)[0]);
}

/** Rows of one matrix: tiles never reach over the edge between two of them, so experts stay apart. */
function matrixHeight(shape: Shape): number {
  return shape.length < 2 ? 1 : shape[shape.length - 2];
}

function tileOf(scheme: Scheme): readonly [rows: number, columns: number] {
  if (scheme.tile !== undefined) return scheme.tile;
  throw new ShapeError(
    `scheme ${scheme.name}: a part per tile needs the scheme's tile, got none; give tile: [rows, columns]`,
  );
}

/** Elements along the last axis that share one number of the part. */
export function groupWidth(scheme: Scheme, part: Part): number {
  if (part.per === "element") return 1;
  if (part.per === "block") return scheme.block;
  if (part.per === "tile") return tileOf(scheme)[1];
  if (part.per !== "superblock") return Infinity;
  if (scheme.superblock !== undefined) return scheme.superblock;
  throw new ShapeError(
    `scheme ${scheme.name}: a part per superblock needs the scheme's superblock, got none; give its width`,
  );
}

/** What each code stands for. Codes have few bits, so reading any kind of number is one look-up. */
function codebookOf(part: Part): Float32Array | undefined {
  if (part.bits > 16) return undefined;
  const known = codebooks.get(part);
  if (known !== undefined) return known;
  const book = Float32Array.from({ length: 2 ** part.bits }, (_, code) => meaning(part, code));
  codebooks.set(part, book);
  return book;
}
const codebooks = /* @__PURE__ */ new WeakMap<Part, Float32Array>();

function meaning({ as, bits }: Part, code: number): number {
  if (typeof as !== "string") return as[code] ?? 0;
  if (as === "f16") return f16ToF32(code);
  if (as === "bf16") return bf16ToF32(code);
  if (as === "e4m3") return e4m3ToF32(code);
  if (as === "e5m2") return e5m2ToF32(code);
  if (as === "e8m0") return e8m0ToF32(code);
  return as === "int" && code >= 2 ** (bits - 1) ? code - 2 ** bits : code;
}

/** One part, ready to be read. */
interface Source {
  readonly part: Part;
  readonly words: Words;
  readonly wordsPerRow: number;
  readonly width: number;
  readonly book: Float32Array | undefined;
  /** Rows of numbers that one row of the part serves, within matrices of `height` rows. */
  readonly rowsPerRow: number;
  readonly height: number;
}

function sourceOf(scheme: Scheme, index: number, words: Words, shape: Shape): Source {
  const part = scheme.parts[index];
  const expected = partSpecs(scheme, shape)[index];
  if (words.length !== sizeOf(expected.shape)) {
    throw new ShapeError(
      `scheme ${scheme.name}: part ${index} (${part.role} per ${part.per}) of numbers ${showShape(shape)} must have ${showShape(expected.shape)} words, got ${words.length}`,
    );
  }
  return {
    part,
    words,
    wordsPerRow: expected.shape[1],
    width: groupWidth(scheme, part),
    book: codebookOf(part),
    rowsPerRow: part.per === "tensor" ? Infinity : part.per === "tile" ? tileOf(scheme)[0] : 1,
    height: matrixHeight(shape),
  };
}

/** The word at which the part's row for row `row` of the numbers begins. */
function startOf(source: Source, row: number): number {
  const { rowsPerRow, height, wordsPerRow } = source;
  if (rowsPerRow === Infinity) return 0;
  if (rowsPerRow === 1) return row * wordsPerRow;
  const tilesPerMatrix = Math.ceil(height / rowsPerRow);
  return (Math.floor(row / height) * tilesPerMatrix + Math.floor((row % height) / rowsPerRow)) * wordsPerRow;
}

/** The number that element `element` of row `row` takes from the part. */
function numberAt(source: Source, row: number, element: number): number {
  const index = source.width === Infinity ? 0 : Math.floor(element / source.width);
  const start = startOf(source, row);
  if (source.words instanceof Float32Array) return source.words[start + index];
  const code = codeAt(source.words, start, source.part.bits, index);
  if (source.book !== undefined) return source.book[code];
  return Math.fround(source.part.as === "int" ? code | 0 : code);
}

/** The product of all parts of one role for one element, each step rounded to f32; `empty` where there is none. */
function productAt(sources: readonly Source[], row: number, element: number, empty: number): number {
  if (sources.length === 0) return empty;
  let product = numberAt(sources[0], row, element);
  for (let i = 1; i < sources.length; i++) product = Math.fround(product * numberAt(sources[i], row, element));
  return product;
}

/** Decodes row `row` into `out`, from `at` on. */
export type RowDecoder = (row: number, out: Float32Array, at: number) => void;

/**
 * value = (code - zero) * product of scales + product of offsets, each step rounded to f32, products first; what a scheme does not have is
 * left out of the formula.
 */
export function rowDecoder(scheme: Scheme, parts: readonly Words[], shape: Shape): RowDecoder {
  if (parts.length !== scheme.parts.length) {
    throw new ShapeError(`scheme ${scheme.name}: must have ${scheme.parts.length} parts, got ${parts.length}`);
  }
  const sources = parts.map((words, index) => sourceOf(scheme, index, words, shape));
  const codes = sources.filter((source) => source.part.role === "code")[0];
  const zeros = sources.filter((source) => source.part.role === "zero");
  const scales = sources.filter((source) => source.part.role === "scale");
  const offsets = sources.filter((source) => source.part.role === "offset");
  const { width } = rowsOf(shape);
  // Zero, scale and offset are constant over the narrowest group that any of them has.
  const run = Math.min(width, ...[...zeros, ...scales, ...offsets].map((source) => source.width));
  return (row, out, at) => {
    for (let from = 0; from < width; from += run) {
      const to = Math.min(from + run, width);
      decodeCodes(codes, startOf(codes, row), from, to, out, at);
      if (zeros.length > 0) {
        const zero = productAt(zeros, row, from, 0);
        for (let i = from; i < to; i++) out[at + i] -= zero;
      }
      if (scales.length > 0) {
        const scale = productAt(scales, row, from, 1);
        for (let i = from; i < to; i++) out[at + i] *= scale;
      }
      if (offsets.length > 0) {
        const offset = productAt(offsets, row, from, 0);
        for (let i = from; i < to; i++) out[at + i] += offset;
      }
    }
  };
}

function decodeCodes(source: Source, start: number, from: number, to: number, out: Float32Array, at: number): void {
  const { words, book, part } = source;
  const bits = part.bits;
  if (words instanceof Float32Array) {
    for (let i = from; i < to; i++) out[at + i] = words[start + i];
  } else if (book === undefined) {
    for (let i = from; i < to; i++) out[at + i] = part.as === "int" ? words[start + i] | 0 : words[start + i];
  } else if (32 % bits === 0) {
    const mask = maskOf(bits);
    for (let i = from; i < to; i++) {
      const bit = i * bits;
      out[at + i] = book[(words[start + (bit >>> 5)] >>> (bit & 31)) & mask];
    }
  } else {
    for (let i = from; i < to; i++) out[at + i] = book[codeAt(words, start, bits, i)];
  }
}

/** The numbers of `shape` that the parts stand for. */
export function decode(scheme: Scheme, parts: readonly Words[], shape: Shape): Float32Array<ArrayBuffer> {
  const { rows, width } = rowsOf(shape);
  const out = new Float32Array(rows * width);
  const decodeRow = rowDecoder(scheme, parts, shape);
  for (let row = 0; row < rows; row++) decodeRow(row, out, row * width);
  return out;
}
