// Products with packed weights: how a command describes the weight, and the rounding of x that may come before.
import { rowsOf } from "../../core/shape.js";
import type { PackedView, View } from "../../core/view.js";
import { DECLINED, type Activations } from "../backend.js";
import { BF16, F16, PACKED_ROWS, Q4_0, Q4_0_INTEGERS, Q8_0, Q8_0_INTEGERS, ROUND_ROWS } from "./codes.js";
import { perTile, type Engine } from "./engine.js";

/** A packed weight [.., out, in] and how x meets it. */
export interface PackedWeight {
  /** Codes and scales: the description that commands begin with (assembly/packed-weights.ts). */
  readonly words: readonly number[];
  readonly kind: number;
  readonly width: number;
  /** Whether x is rounded first, and then the bytes of a row of it. */
  readonly rounds: boolean;
  readonly rowBytes: number;
  /** Operations for one product of its numbers, in those of an f32 product. */
  readonly effort: number;
}

const floats: Readonly<Record<string, number>> = { f16: F16, bf16: BF16, q8_0: Q8_0, q4_0: Q4_0 };
const integers: Readonly<Record<string, number>> = { q8_0: Q8_0_INTEGERS, q4_0: Q4_0_INTEGERS };

export function packedWeight(engine: Engine, weight: PackedView, activations: Activations): PackedWeight {
  const rounds = activations === "q8";
  const kind = (rounds ? integers[weight.scheme] : undefined) ?? floats[weight.scheme];
  const { width } = rowsOf(weight.shape);
  const exact = kind !== Q8_0_INTEGERS && kind !== Q4_0_INTEGERS;
  const words = weight.parts.flatMap((part) => [engine.at(part), part.shape[1] * 4]);
  return {
    words: [kind, ...words, ...(words.length === 2 ? [0, 0] : [])],
    kind,
    width,
    rounds,
    rowBytes: exact ? width * 4 : Math.ceil(width / 128) * ROUNDED_BYTES,
    effort: exact ? 1 : 0.25,
  };
}

/** Of 128 numbers (assembly/packed-activations.ts). */
const ROUNDED_BYTES = 352;

/** Scratch memory for {@link round}: rows, then what threads need. */
export function roundBytes(engine: Engine, weight: PackedWeight, rows: number): readonly [rows: number, threads: number] {
  if (!weight.rounds) return [0, 0];
  return [rows * weight.rowBytes, engine.threads * threadBytes(weight.width)];
}

const threadBytes = (width: number): number => Math.ceil(width / 128) * 136 + 192;

/** Where the rows are that the weight's products read: x itself, or its rounded rows in scratch memory. */
export function round(engine: Engine, weight: PackedWeight, x: number, rows: number, to: number, scratch: number): number {
  if (!weight.rounds) return x;
  const { width, kind } = weight;
  const each = perTile(rows, 4 * width);
  engine.launch(ROUND_ROWS, Math.ceil(rows / each), [rows, each, width, x, to, kind, scratch, threadBytes(width)]);
  return to;
}

/** y = x W^T + b. */
export function packedLinear(
  engine: Engine,
  x: View,
  weight: PackedView,
  bias: View | undefined,
  y: View,
  activations: Activations,
): void | typeof DECLINED {
  const { rows, width: columns } = rowsOf(y.shape);
  if (rows * columns === 0) return;
  if (rows > FEW_ROWS) return DECLINED;
  const packed = packedWeight(engine, weight, activations);
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
