// Integers of 2 to 8 bits as most libraries have them: under a scale per tensor, per row (output channel) or per group of a row; symmetric around
// zero, or affine with a zero point. int8 and int4 are the usual ones.
import { ConfigError } from "../../core/errors.js";
import { rowsOf, sizeOf, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, expectGroup, nearest, storedAsF16, storedAsF32 } from "./blocks.js";
import { fitStored, type Scales, type Try } from "./fit.js";
import { scaleToF16 } from "./float-codes.js";
import { weigher } from "./importance.js";
import type { Part, Scheme, Words } from "./scheme.js";

export interface IntegerOptions {
  /** Which numbers share a scale: all, those of a row, or so many of a row, side by side. */
  readonly group?: "tensor" | "row" | number;
  /** With a zero point, so that codes cover the range from the least to the greatest number; symmetric unless given. */
  readonly affine?: boolean;
  /** "absmax" unless given. What is stored has the same form either way. */
  readonly scales?: Scales;
}

/** A scheme of integers, with what it was made of. */
export interface IntegerScheme extends Scheme {
  readonly bits: number;
  readonly group: NonNullable<IntegerOptions["group"]>;
  readonly affine: boolean;
}

/** A scale, a zero point, and what numbers become under them: code - zero. */
interface Grid extends Try {
  readonly zero: number;
}

const gridAt = (scale: number, zero: number, least: number, most: number): Grid => ({
  scale,
  zero,
  round: (scaled) => nearest(Math.fround(scaled + zero), least, most) - zero,
});

/** Each step in f32, so that a device can take the same steps. */
function gridOf(
  x: Float32Array,
  [from, to]: readonly [from: number, to: number],
  { affine, codes: [least, most], stored, scales }: Form,
  weights: Float32Array,
): Grid {
  let [low, high] = [0, 0];
  for (let i = from; i < to; i++) {
    low = Math.min(low, x[i]); // Math.min and max keep NaN
    high = Math.max(high, x[i]);
  }
  const whole = affine ? Math.fround(high - low) : Math.max(high, -low);
  const scale = stored(whole / most);
  if (!(scale > 0)) return gridAt(scale, 0, least, most);
  const zero = affine ? nearest(Math.fround(-low / scale), 0, most) : 0;
  const usual = gridAt(scale, zero, least, most);
  if (scales === "absmax") return usual;
  const around = (part: number): Grid[] => {
    const tried = (whole / most) * part;
    // Where a part of the range is covered, it ends with the least number or with the greatest.
    const zeros = affine ? new Set([nearest(-low / tried, 0, most), nearest(most - high / tried, 0, most)]) : [0];
    return Array.from(zeros, (each) => gridAt(tried, each, least, most));
  };
  return fitStored(x, [from, to], usual, around, stored, weights);
}

/** What a group is encoded by. */
interface Form {
  readonly affine: boolean;
  readonly codes: readonly [least: number, most: number];
  readonly stored: (scale: number) => number;
  readonly scales: Scales;
}

/** The rows over which groups run: one long one where the whole tensor is a group. */
const spanOf = (shape: Shape, group: IntegerScheme["group"]): Shape =>
  group === "tensor" ? [1, sizeOf(shape)] : shape;

export interface IntegersOptions extends IntegerOptions {
  /** 2 to 8. */
  readonly bits: number;
}

/**
 * Integers of any width from 2 to 8 bits; groups of 32 unless given, rows at 8 bits. Otherwise as {@link int8}, which is that of 8 bits.
 *
 * @throws ConfigError
 */
export function integers({
  bits,
  group = bits === 8 ? "row" : 32,
  affine = false,
  scales = "absmax",
}: IntegersOptions): IntegerScheme {
  if (!Number.isInteger(bits) || bits < 2 || bits > 8)
    throw new ConfigError(`integers: bits must be an integer from 2 to 8, got ${bits}`);
  const usual = group === (bits === 8 ? "row" : 32);
  const name = [`int${bits}`, ...(usual ? [] : [group]), ...(affine ? ["affine"] : [])].join("_");
  const size = typeof group === "number" ? expectGroup(name, group) : Infinity;
  const inFull = size === Infinity;
  const per = typeof group === "number" ? "block" : group;
  const form: Form = {
    affine,
    codes: affine ? [0, 2 ** bits - 1] : [1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1],
    stored: inFull ? storedAsF32 : storedAsF16,
    scales,
  };
  const scale: Part = { role: "scale", per, bits: inFull ? 32 : 16, as: inFull ? "f32" : "f16" };
  return {
    name,
    bits,
    group,
    affine,
    parts: [
      { role: "code", per: "element", bits, as: affine ? "uint" : "int" },
      ...(affine ? [{ role: "zero", per, bits, as: "uint" } as const] : []),
      scale,
    ],
    block: inFull ? 1 : size,
    ...(scales === "leastSquares" ? { scales, hostOnly: true as const } : {}),
    encode(x, shape, importance) {
      const { rows, width } = rowsOf(shape);
      const weigh = weigher(name, shape, importance);
      const span = rowsOf(spanOf(shape, group));
      const codes = affine ? new Uint8Array(rows * width) : new Int8Array(rows * width);
      // A tensor has its scale even where it has no numbers.
      const [scaleRows, perRow] = group === "tensor" ? [1, 1] : [rows, blocksPerRow(width, size)];
      const kept = new Float32Array(scaleRows * perRow);
      const zeros = new Uint8Array(kept.length);
      eachBlock([span.rows, span.width], size, (from, to, at) => {
        const grid = gridOf(x, [from, to], form, weigh(from, to));
        [kept[at], zeros[at]] = [grid.scale, grid.zero];
        if (!(grid.scale > 0)) return;
        for (let i = from; i < to; i++) codes[i] = grid.round(Math.fround(x[i] / grid.scale)) + grid.zero;
      });
      const parts: Words[] = [packBits(codes, bits, rows, width)];
      if (affine) parts.push(packBits(zeros, bits, scaleRows, perRow));
      parts.push(inFull ? kept : packBits(Uint16Array.from(kept, scaleToF16), 16, scaleRows, perRow));
      return parts;
    },
  };
}

/**
 * 8-bit integers, a scale per row unless given. Symmetric: codes of -127..127, scale = greatest magnitude / 127. Affine: codes and a zero point of
 * 0..255, scale = (max - min) / 255 of a range that holds zero, so that zero stays zero. Scales are f32 per tensor or row, f16 per group; codes are
 * chosen by the stored one, ties to even, each step in f32. With `scales: "leastSquares"` scale and zero point are searched for: the sum of
 * squared errors, weighted by importances where given, is never greater, and single numbers may lie further off.
 *
 * A number decodes to within half a scale, or where an f16 scale came out too small to reach it, to the last code: a tenth of a scale more, and
 * any distance where the scale is too small for a normal f16. A group with a NaN or an infinity, or a scale beyond f16 or a range beyond f32,
 * decodes to NaN throughout. 8 bits per weight, and 16 (affine: 24) / group.
 */
export function int8(options: IntegerOptions = {}): IntegerScheme {
  return integers({ ...options, bits: 8 });
}

/** 4-bit integers, in groups of 32 unless given; codes of -7..7, affine 0..15; otherwise as {@link int8}. 4 bits per weight, and 16 (20) / group. */
export function int4(options: IntegerOptions = {}): IntegerScheme {
  return integers({ ...options, bits: 4 });
}
