// int8 and int4 as most libraries have them: integers under a scale per tensor, per row (output channel) or per group of a row; symmetric around
// zero, or affine with a zero point.
import { rowsOf, sizeOf, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, expectGroup, greatest, nearest, storedAsF16, storedAsF32 } from "./blocks.js";
import { f32ToF16 } from "./float-codes.js";
import type { Part, Scheme, Words } from "./scheme.js";

export interface IntegerOptions {
  /** Which numbers share a scale: all, those of a row, or so many of a row, side by side. */
  readonly group?: "tensor" | "row" | number;
  /** With a zero point, so that codes cover the range from the least to the greatest number; symmetric unless given. */
  readonly affine?: boolean;
}

type Group = NonNullable<IntegerOptions["group"]>;

/** How the scale of a group is stored: in full where it costs nothing, else as f16. */
interface Granularity {
  readonly per: Part["per"];
  readonly size: number;
  readonly stored: (scale: number) => number;
}

function granularityOf(where: string, group: Group): Granularity {
  if (typeof group !== "number") return { per: group, size: Infinity, stored: storedAsF32 };
  return { per: "block", size: expectGroup(where, group), stored: storedAsF16 };
}

/** The rows over which groups run: one long one where the whole tensor is a group. */
const spanOf = (shape: Shape, per: Part["per"]): Shape => (per === "tensor" ? [1, sizeOf(shape)] : shape);

/** A group's codes under the scale that is stored; returns that scale and the zero point. */
type EncodeGroup = (
  x: Float32Array,
  from: number,
  to: number,
  codes: Uint8Array | Int8Array,
) => readonly [number, number];

function symmetricGroup(top: number, stored: (scale: number) => number): EncodeGroup {
  return (x, from, to, codes) => {
    const scale = stored(greatest(x, from, to) / top);
    if (scale > 0) for (let i = from; i < to; i++) codes[i] = nearest(x[i] / scale, -top, top);
    return [scale, 0];
  };
}

function affineGroup(top: number, stored: (scale: number) => number): EncodeGroup {
  return (x, from, to, codes) => {
    let [low, high] = [0, 0];
    for (let i = from; i < to; i++) {
      low = Math.min(low, x[i]);
      high = Math.max(high, x[i]);
    }
    const scale = stored((high - low) / top);
    if (!(scale > 0)) return [scale, 0];
    const zero = nearest(-low / scale, 0, top);
    for (let i = from; i < to; i++) codes[i] = nearest(x[i] / scale + zero, 0, top);
    return [scale, zero];
  };
}

function integerScheme(bits: 4 | 8, group: Group, affine: boolean, name: string): Scheme {
  const { per, size, stored } = granularityOf(name, group);
  const inFull = per !== "block";
  const scale: Part = { role: "scale", per, bits: inFull ? 32 : 16, as: inFull ? "f32" : "f16" };
  const encodeGroup = affine ? affineGroup(2 ** bits - 1, stored) : symmetricGroup(2 ** (bits - 1) - 1, stored);
  return {
    name,
    parts: [
      { role: "code", per: "element", bits, as: affine ? "uint" : "int" },
      ...(affine ? [{ role: "zero", per, bits, as: "uint" } as const] : []),
      scale,
    ],
    block: typeof group === "number" ? group : 1,
    encode(x, shape) {
      const { rows, width } = rowsOf(shape);
      const span = rowsOf(spanOf(shape, per));
      const groups = blocksPerRow(span.width, size);
      const codes = affine ? new Uint8Array(rows * width) : new Int8Array(rows * width);
      // A tensor has its scale even where it has no numbers.
      const scaleRows = per === "tensor" ? 1 : span.rows;
      const perRow = per === "tensor" ? 1 : groups;
      const scales = new Float32Array(scaleRows * perRow);
      const zeros = new Uint8Array(scales.length);
      eachBlock([span.rows, span.width], size, (from, to, at) => {
        [scales[at], zeros[at]] = encodeGroup(x, from, to, codes);
      });
      const parts: Words[] = [packBits(codes, bits, rows, width)];
      if (affine) parts.push(packBits(zeros, bits, scaleRows, perRow));
      parts.push(inFull ? scales : packBits(Uint16Array.from(scales, f32ToF16), 16, scaleRows, perRow));
      return parts;
    },
  };
}

function named(bits: 4 | 8, usual: Group, { group = usual, affine = false }: IntegerOptions): Scheme {
  const name = [`int${bits}`, ...(group === usual ? [] : [group]), ...(affine ? ["affine"] : [])].join("_");
  return integerScheme(bits, group, affine, name);
}

/**
 * 8-bit integers, a scale per row unless given. Symmetric: codes of -127..127, scale = greatest magnitude / 127. Affine: codes and a zero point of
 * 0..255, scale = (max - min) / 255 of a range that holds zero, so that zero stays zero. Scales are f32 per tensor or row, f16 per group; codes are
 * chosen by the stored one, ties to even.
 *
 * A number decodes to within half a scale, or where an f16 scale came out too small to reach it, to the last code: a tenth of a scale more, and
 * any distance where the scale is too small for a normal f16. A group with a NaN or an infinity, or a scale beyond f16,
 * decodes to NaN throughout. 8 bits per weight, and 16 (affine: 24) / group.
 */
export function int8(options: IntegerOptions = {}): Scheme {
  return named(8, "row", options);
}

/** 4-bit integers, in groups of 32 unless given; codes of -7..7, affine 0..15; otherwise as {@link int8}. 4 bits per weight, and 16 (20) / group. */
export function int4(options: IntegerOptions = {}): Scheme {
  return named(4, 32, options);
}
