// Rows as they are or packed, in plain order: how commands describe them, and the launches that encode and decode them.
import { rowsOf } from "../../core/shape.js";
import { isPackedView, type Matrix, type PackedView, type SchemeName } from "../../core/view.js";
import { BF16, F16, GATHER_PACKED, PLAIN, Q4_0, Q8_0, QUANTIZE } from "./codes.js";
import { perTile, type Engine } from "./engine.js";
import { PIECE } from "./layout.js";

/** The schemes that this backend lists, as commands name them. */
export const schemeCodes: Readonly<Record<SchemeName, number>> = { f16: F16, bf16: BF16, q8_0: Q8_0, q4_0: Q4_0 };

/** What a thread needs to encode: a block of numbers and its codes. */
export const ENCODE_BYTES = 192;

/** How commands describe a matrix: where its codes and its scales begin, words of each in a row, and the scheme (assembly/packed.ts). */
export function matrixWords(engine: Engine, matrix: Matrix): number[] {
  if (!isPackedView(matrix)) return [engine.at(matrix), 0, rowsOf(matrix.shape).width, 0, PLAIN];
  const [codes, scales] = matrix.parts;
  const [scale, perRow] = matrix.parts.length === 1 ? [0, 0] : [engine.at(scales), scales.shape[1]];
  return [engine.at(codes), scale, codes.shape[1], perRow, schemeCodes[matrix.scheme]];
}

/** Which rows are decoded: each of `pieces` packed ones, out of `count` or, where indices are given, by these out of `tableRows`. */
export interface Wanted {
  readonly tableRows: number;
  readonly pieces: number;
  readonly count: number;
  /** Their address, or 0. */
  readonly indices: number;
}

/** Decodes rows to `y`, an address. An index that is no row gives zeros. */
export function decodeRows(engine: Engine, x: PackedView, wanted: Wanted, y: number): void {
  const { tableRows, pieces, count, indices } = wanted;
  const { width } = rowsOf(x.shape);
  const items = count * pieces;
  if (items * width === 0) return;
  const tile = perTile(items, 4 * width);
  const words = [...matrixWords(engine, x), tableRows, indices, count, y, pieces, width, tile];
  engine.launch(GATHER_PACKED, Math.ceil(items / tile), words);
}

/** Decodes all of x to `y`, an address. */
export function decodeAll(engine: Engine, x: PackedView, y: number): void {
  const { rows } = rowsOf(x.shape);
  decodeRows(engine, x, { tableRows: rows, pieces: 1, count: rows, indices: 0 }, y);
}

/** Encodes as many numbers as `y` has, from the address x on. */
export function encodeRows(engine: Engine, x: number, y: PackedView): void {
  const { rows, width } = rowsOf(y.shape);
  const items = rows * Math.ceil(width / PIECE);
  if (items === 0) return;
  const [scratch] = engine.scratch(ENCODE_BYTES * engine.threads);
  const tile = perTile(items, 8 * Math.min(width, PIECE));
  const words = [...matrixWords(engine, y), x, rows, width, tile, scratch, ENCODE_BYTES];
  engine.launch(QUANTIZE, Math.ceil(items / tile), words);
}
