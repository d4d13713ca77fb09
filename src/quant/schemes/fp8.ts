// FP8: E4M3 or E5M2 codes (OCP 8-bit floating point 1.0) under f32 scales, per tensor, per row, or per tile as the FP8 checkpoints of Qwen3 have
// them (weight_scale_inv).
import { ConfigError } from "../../core/errors.js";
import { rowsOf, sizeOf, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { storedAsF32 } from "./blocks.js";
import { f32ToE4m3, f32ToE5m2 } from "./float-codes.js";
import { partSpecs, type Scheme } from "./scheme.js";

export interface Fp8Options {
  /** "e4m3" unless given: more precise than "e5m2", which reaches further. */
  readonly format?: "e4m3" | "e5m2";
  /** Which numbers share a scale: all, those of a row, or those of a tile of the last two axes. "row" unless given. */
  readonly per?: "tensor" | "row" | "tile";
  /** [128, 128] unless given. Tiles at the edges may be smaller. */
  readonly tile?: readonly [rows: number, columns: number];
}

const formats = {
  e4m3: { most: 448, codeOf: f32ToE4m3 },
  e5m2: { most: 57344, codeOf: f32ToE5m2 },
} as const;

/**
 * 8 bits per weight and the scales. scale = greatest magnitude / the format's largest number, as f32; code = nearest to number / scale, ties to
 * even, cut off at the largest. Within 2^-4 of the number (E5M2: 2^-3), or 2^-10 (2^-17) of the scale for those below the smallest normal. A
 * group with a NaN or an infinity decodes to NaN throughout.
 *
 * @throws ConfigError if a tile has no whole positive extents
 */
export function fp8({ format = "e4m3", per = "row", tile = [128, 128] }: Fp8Options = {}): Scheme {
  if (!tile.every((extent) => Number.isSafeInteger(extent) && extent > 0)) {
    throw new ConfigError(`fp8: tile must be two positive integers, got [${tile.join(",")}]`);
  }
  const usual = tile[0] === 128 && tile[1] === 128;
  const suffix = per === "row" ? "" : per === "tile" && !usual ? `_tile_${tile.join("x")}` : `_${per}`;
  const scheme: Scheme = {
    name: `fp8_${format}${suffix}`,
    parts: [
      { role: "code", per: "element", bits: 8, as: format },
      { role: "scale", per, bits: 32, as: "f32" },
    ],
    block: 1,
    ...(per === "tile" ? { tile } : {}),
    encode(x, shape) {
      const { rows, width } = rowsOf(shape);
      const { most, codeOf } = formats[format];
      const [, { shape: scaleShape }] = partSpecs(scheme, shape);
      const scales = new Float32Array(sizeOf(scaleShape));
      const places = scalePlaces(shape, scheme, scaleShape[1]);
      for (let i = 0; i < x.length; i++) scales[places(i)] = Math.max(scales[places(i)], Math.abs(x[i])); // Math.max keeps NaN
      for (let i = 0; i < scales.length; i++) scales[i] = storedAsF32(scales[i] / most);
      const codes = Uint8Array.from(x, (value, i) => {
        const scale = scales[places(i)];
        return scale > 0 ? codeOf(Math.min(Math.max(value / scale, -most), most)) : 0;
      });
      return [packBits(codes, 8, rows, width), scales];
    },
  };
  return scheme;
}

/** Which scale serves element i. */
function scalePlaces(shape: Shape, { parts, tile }: Scheme, scalesPerRow: number): (i: number) => number {
  if (parts[1].per === "tensor") return () => 0;
  const { width } = rowsOf(shape);
  if (tile === undefined) return (i) => Math.floor(i / width);
  const height = shape.length < 2 ? 1 : shape[shape.length - 2];
  const tileRows = Math.ceil(height / tile[0]);
  return (i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    const tileRow = Math.floor(row / height) * tileRows + Math.floor((row % height) / tile[0]);
    return tileRow * scalesPerRow + Math.floor(column / tile[1]);
  };
}
