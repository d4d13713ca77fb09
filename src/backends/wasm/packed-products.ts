// Products with packed weights: how a command describes the weight, and the rounding of x that may come before.
import { rowsOf } from "../../core/shape.js";
import type { Matrix, View } from "../../core/view.js";
import type { Activations } from "../backend.js";
import {
  INT4,
  INT4_INTEGERS,
  INT8,
  INT8_INTEGERS,
  PACKED_MANY,
  PACKED_ROWS,
  Q4_0,
  Q4_0_INTEGERS,
  Q8_0,
  Q8_0_INTEGERS,
  ROUND_ROWS,
} from "./codes.js";
import { perTile, type Engine } from "./engine.js";
import { DOT_SCRATCH, PANEL_CODES, PANEL_ROWS, PANEL_SPARE, ROUNDED_BLOCK } from "./layout.js";
import { ENCODE_BYTES, matrixWords, schemeCode } from "./packed-rows.js";
import { product, workBytes } from "./product.js";

/** A weight [.., out, in], packed or not, and how x meets it. */
export interface Weight {
  /** What commands begin with (assembly/packed-matrix.ts). */
  readonly words: readonly number[];
  readonly scheme: number;
  readonly width: number;
  /** Whether the products are those of integers. */
  readonly integers: boolean;
  /** Whether x is rounded first, and then the bytes of a row of it. */
  readonly rounds: boolean;
  readonly rowBytes: number;
  /** Operations for one of its numbers, in those of an f32 product. */
  readonly effort: number;
}

export function weightOf(engine: Engine, weight: Matrix, activations: Activations): Weight {
  const rounds = activations === "q8";
  const { width } = rowsOf(weight.shape);
  const stored = schemeCode(weight);
  const scheme = rounds ? (integerSchemes.get(stored) ?? stored) : stored;
  const integers = scheme !== stored;
  return {
    words: matrixWords(engine, weight, scheme),
    scheme,
    width,
    integers,
    rounds,
    rowBytes: integers ? roundedBlocks(width) * ROUNDED_BLOCK : width * 4,
    effort: integers ? 0.25 : 1,
  };
}

/** Schemes whose products with rounded rows are those of integers. */
const integerSchemes: ReadonlyMap<number, number> = new Map([
  [Q8_0, Q8_0_INTEGERS],
  [Q4_0, Q4_0_INTEGERS],
  [INT8, INT8_INTEGERS],
  [INT4, INT4_INTEGERS],
]);

/** Scratch memory for {@link round}: rows, then what threads need. */
export function roundBytes(engine: Engine, weight: Weight, rows: number): readonly [rows: number, threads: number] {
  if (!weight.rounds) return [0, 0];
  return [rows * weight.rowBytes, engine.threads * threadBytes(weight.width)];
}

/** Blocks of a rounded row, with empty ones up to a multiple of four. */
const roundedBlocks = (width: number): number => 4 * Math.ceil(width / 128);
/** Codes and scales of a row in plain order, before they are put in another. */
const threadBytes = (width: number): number => roundedBlocks(width) * (32 + 2) + ENCODE_BYTES;

/** Where the rows are that the weight's products read: x itself, or its rounded rows in scratch memory. */
export function round(engine: Engine, weight: Weight, x: number, rows: number, to: number, scratch: number): number {
  if (!weight.rounds) return x;
  const { width, scheme } = weight;
  const each = perTile(rows, 4 * width);
  engine.launch(ROUND_ROWS, Math.ceil(rows / each), [rows, each, width, x, to, scheme, scratch, threadBytes(width)]);
  return to;
}

/** y = x W^T + b. Few rows read the weight where it lies; many are worth putting it in another order. */
export function packedLinear(
  engine: Engine,
  x: View,
  weight: Matrix,
  bias: View | undefined,
  y: View,
  activations: Activations,
): void {
  const { rows, width: columns } = rowsOf(y.shape);
  if (rows * columns === 0) return;
  const given = weightOf(engine, weight, activations);
  const added = bias === undefined ? 0 : engine.at(bias);
  const places = { x: engine.at(x), bias: added, y: engine.at(y), rows, columns };
  if (rows <= FEW_ROWS) return fewRows(engine, given, places);
  if (given.integers) return manyRows(engine, given, places);
  return floatRows(engine, given, places);
}

/** Addresses and sizes; a bias of 0 is none. */
interface Places {
  readonly x: number;
  readonly bias: number;
  readonly y: number;
  readonly rows: number;
  readonly columns: number;
}

function fewRows(engine: Engine, weight: Weight, { x, bias, y, rows, columns }: Places): void {
  const { words, rowBytes, width, effort, integers } = weight;
  // Four rows of the weight, decoded.
  const threadBytes = rows > 1 && !integers ? 4 * 4 * width : DOT_SCRATCH;
  const [rounded, scratch, sums] = engine.scratch(...roundBytes(engine, weight, rows), threadBytes * engine.threads);
  const from = round(engine, weight, x, rows, rounded, scratch);
  const each = Math.ceil(perTile(columns, rows * width * effort) / 4) * 4;
  const command = [...words, from, rowBytes, rows, columns, width, y, columns * 4, each, sums, threadBytes, bias];
  engine.launch(PACKED_ROWS, Math.ceil(columns / each), command);
}

function manyRows(engine: Engine, weight: Weight, { x, bias, y, rows, columns }: Places): void {
  const { words, rowBytes, width } = weight;
  const across = Math.min(MOST_COLUMNS, Math.ceil(columns / PANEL_ROWS) * PANEL_ROWS);
  const threadBytes = productBytes(weight, across);
  const [forRows, forThreads] = roundBytes(engine, weight, rows);
  const [rounded, scratch] = engine.scratch(forRows, Math.max(forThreads, threadBytes * engine.threads));
  const from = round(engine, weight, x, rows, rounded, scratch);
  const sizes = [from, rowBytes, rows, columns, width, y, columns * 4, across, TILE_ROWS];
  const tiles = Math.ceil(columns / across) * Math.ceil(rows / TILE_ROWS);
  engine.launch(PACKED_MANY, tiles, [...words, ...sizes, scratch, threadBytes, bias]);
}

/** The product of f32, with the rows of x or what their rounded ones stand for. */
function floatRows(engine: Engine, weight: Weight, { x, bias, y, rows, columns }: Places): void {
  const sizes = { batch: 1, rows, columns, k: weight.width };
  const [forRows, forThreads] = roundBytes(engine, weight, rows);
  const [rounded, scratch, ...work] = engine.scratch(forRows, forThreads, ...workBytes(engine, weight, sizes));
  const from = round(engine, weight, x, rows, rounded, scratch);
  const a = { at: from, row: weight.rowBytes, column: 4, batch: 0 };
  const c = { at: y, row: columns * 4, column: 4, batch: 0 };
  product(engine, a, weight, c, sizes, bias, work);
}

/** Scratch memory of a thread for a product of many rows with so many columns (assembly/packed-groups.ts, packed-panels.ts). */
export function productBytes({ integers, width }: Weight, columns: number): number {
  if (!integers) return columns * width * 4;
  return PANEL_SPARE + Math.ceil(columns / PANEL_ROWS) * Math.ceil(width / 32) * (PANEL_CODES + 4 * PANEL_ROWS);
}

/** Rows of a weight that one tile takes at most. */
export const MOST_COLUMNS = 64;
/** Up to so many rows of x, putting a weight in order costs more than it saves. */
const FEW_ROWS = 8;
/** Rows of x for which a tile puts its part of the weight in order. */
const TILE_ROWS = 256;
