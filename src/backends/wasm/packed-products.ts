// Products with packed weights: how a command describes the weight, and the rounding of x that may come before.
import { rowsOf } from "../../core/shape.js";
import type { Matrix, View } from "../../core/view.js";
import { DECLINED, type Activations } from "../backend.js";
import { PACKED_ROWS, Q4_0, Q4_0_INTEGERS, Q8_0, Q8_0_INTEGERS, ROUND_ROWS } from "./codes.js";
import { perTile, type Engine } from "./engine.js";
import { matrixWords } from "./packed-rows.js";

/** A weight [.., out, in], packed or not, and how x meets it. */
export interface Weight {
  /** What commands begin with (assembly/packed.ts). */
  readonly words: readonly number[];
  readonly scheme: number;
  readonly width: number;
  /** Whether x is rounded first, and then the bytes of a row of it. */
  readonly rounds: boolean;
  readonly rowBytes: number;
  /** Operations for one of its numbers, in those of an f32 product. */
  readonly effort: number;
}

export function weightOf(engine: Engine, weight: Matrix, activations: Activations): Weight {
  const rounds = activations === "q8";
  const { width } = rowsOf(weight.shape);
  const words = matrixWords(engine, weight);
  const stored = words[words.length - 1];
  const scheme = rounds ? (integers.get(stored) ?? stored) : stored;
  const exact = scheme === stored;
  return {
    words: [...words.slice(0, -1), scheme],
    scheme,
    width,
    rounds,
    rowBytes: exact ? width * 4 : Math.ceil(width / 128) * ROUNDED_BYTES,
    effort: exact ? 1 : 0.25,
  };
}

/** Schemes whose products with rounded rows are those of integers. */
const integers: ReadonlyMap<number, number> = new Map([
  [Q8_0, Q8_0_INTEGERS],
  [Q4_0, Q4_0_INTEGERS],
]);

/** Of 128 numbers (assembly/packed-activations.ts). */
const ROUNDED_BYTES = 400;

/** Scratch memory for {@link round}: rows, then what threads need. */
export function roundBytes(engine: Engine, weight: Weight, rows: number): readonly [rows: number, threads: number] {
  if (!weight.rounds) return [0, 0];
  return [rows * weight.rowBytes, engine.threads * threadBytes(weight.width)];
}

const threadBytes = (width: number): number => Math.ceil(width / 128) * 136 + 192;

/** Where the rows are that the weight's products read: x itself, or its rounded rows in scratch memory. */
export function round(engine: Engine, weight: Weight, x: number, rows: number, to: number, scratch: number): number {
  if (!weight.rounds) return x;
  const { width, scheme } = weight;
  const each = perTile(rows, 4 * width);
  engine.launch(ROUND_ROWS, Math.ceil(rows / each), [rows, each, width, x, to, scheme, scratch, threadBytes(width)]);
  return to;
}

/** y = x W^T + b. */
export function packedLinear(
  engine: Engine,
  x: View,
  weight: Matrix,
  bias: View | undefined,
  y: View,
  activations: Activations,
): void | typeof DECLINED {
  const { rows, width: columns } = rowsOf(y.shape);
  if (rows * columns === 0) return;
  if (rows > FEW_ROWS) return DECLINED;
  const packed = weightOf(engine, weight, activations);
  const { words, rowBytes, width, effort } = packed;
  const [rounded, scratch, sums] = engine.scratch(...roundBytes(engine, packed, rows), DOT_SCRATCH * engine.threads);
  const from = round(engine, packed, engine.at(x), rows, rounded, scratch);
  const each = Math.ceil(perTile(columns, rows * width * effort) / 4) * 4;
  const added = bias === undefined ? 0 : engine.at(bias);
  const command = [...words, from, rowBytes, rows, columns, width, engine.at(y), columns * 4, each, sums, added];
  engine.launch(PACKED_ROWS, Math.ceil(columns / each), command);
}

/** Scratch memory of a thread for sums (assembly/packed-dot.ts). */
export const DOT_SCRATCH = 640;

const FEW_ROWS = 16;
