// Rows as they are or packed, in plain order: how commands describe them, and the launches that encode and decode them.
import { rowsOf } from "../../core/shape.js";
import { isPackedView, type Matrix, type PackedView, type SchemeName } from "../../core/view.js";
import type { Features } from "../backend.js";
import {
  BF16, F16, FP4, FP8_E4M3, FP8_E4M3_TILE, FP8_E5M2, GATHER_PACKED, INT4, INT4_AFFINE, INT8, INT8_AFFINE, IQ4_NL, MXFP4, NF4, PLAIN, Q4_0, Q4_1, Q4_K,
  Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, QUANTIZE,
} from "./codes.js"; // prettier-ignore
import { perTile, type Engine } from "./engine.js";
import { PIECE } from "./layout.js";

/** The schemes that are encoded and decoded, as commands name them. */
const encoded: Readonly<Record<SchemeName, number>> = { f16: F16, bf16: BF16, q8_0: Q8_0, q4_0: Q4_0 };
/** Those that are decoded as well. */
const schemeCodes: Readonly<Record<SchemeName, number>> = {
  ...encoded,
  int8: INT8,
  int8_affine: INT8_AFFINE,
  int4: INT4,
  int4_affine: INT4_AFFINE,
  q4_k: Q4_K,
  q6_k: Q6_K,
  mxfp4: MXFP4,
  fp8_e4m3: FP8_E4M3,
  fp8_e5m2: FP8_E5M2,
  fp8_e4m3_tile: FP8_E4M3_TILE,
  fp4: FP4,
  iq4_nl: IQ4_NL,
  q4_1: Q4_1,
  q5_0: Q5_0,
  q5_1: Q5_1,
  q5_k: Q5_K,
  nf4: NF4,
};

/** What a backend tells of them. All are in plain order. */
export const packing: Pick<Features, "schemes" | "encodes"> = {
  schemes: Object.fromEntries(Object.keys(schemeCodes).map((name) => [name, "plain"])),
  encodes: Object.keys(encoded),
};

/** What a thread needs to encode: a block of numbers and its codes. */
export const ENCODE_BYTES = 192;

/** How the codes of a matrix are named in commands. */
export const schemeCode = (matrix: Matrix): number => (isPackedView(matrix) ? schemeCodes[matrix.scheme] : PLAIN);

/** How commands describe a matrix (assembly/packed-matrix.ts). */
export function matrixWords(engine: Engine, matrix: Matrix, scheme: number = schemeCode(matrix)): number[] {
  const parts = isPackedView(matrix) ? matrix.parts : [{ ...matrix, shape: [0, rowsOf(matrix.shape).width] }];
  const [codes, ...others] = parts.map((part) => [engine.at(part), part.shape[1]]);
  const height = scheme === FP8_E4M3_TILE && matrix.shape.length > 1 ? matrix.shape[matrix.shape.length - 2] : 0;
  const missing = new Array<number>(2 * (MOST_PARTS - parts.length)).fill(0);
  return [...codes, scheme, height, ...others.flat(), ...missing];
}
/** Of a scheme. */
const MOST_PARTS = 5;

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
