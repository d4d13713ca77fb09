// FP8: E4M3 or E5M2 codes (OCP 8-bit floating point 1.0) under f32 scales, per tensor, per row, or per tile as the FP8 checkpoints of Qwen3 have
// them (weight_scale_inv).
import { ConfigError } from "../../core/errors.js";
import { rowsOf, sizeOf, type Shape } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { greatest, storedAsF32 } from "./blocks.js";
import { fitStored, type Scales, type Try } from "./fit.js";
import { e4m3ToF32, e5m2ToF32, f32ToE4m3, f32ToE5m2 } from "./float-codes.js";
import { weigher } from "./importance.js";
import { partSpecs, type Scheme } from "./scheme.js";

export interface Fp8Options {
  /** "e4m3" unless given: more precise than "e5m2", which reaches further. */
  readonly format?: "e4m3" | "e5m2";
  /** Which numbers share a scale: all, those of a row, or those of a tile of the last two axes. "row" unless given. */
  readonly per?: "tensor" | "row" | "tile";
  /** [128, 128] unless given. Tiles at the edges may be smaller. */
  readonly tile?: readonly [rows: number, columns: number];
  /** "absmax" unless given. What is stored has the same form either way. */
  readonly scales?: Scales;
}

const formats = {
  e4m3: { most: 448, codeOf: f32ToE4m3, numberOf: e4m3ToF32 },
  e5m2: { most: 57344, codeOf: f32ToE5m2, numberOf: e5m2ToF32 },
} as const;

/**
 * 8 bits per weight and the scales. scale = greatest magnitude / the format's largest number, as f32; code = nearest to number / scale, ties to
 * even, cut off at the largest. Within 2^-4 of the number (E5M2: 2^-3), or 2^-10 (2^-17) of the scale for those below the smallest normal. A
 * group with a NaN or an infinity decodes to NaN throughout. With `scales: "leastSquares"` scales are searched for.
 *
 * @throws ConfigError if a tile has no whole positive extents
 */
export function fp8({ format = "e4m3", per = "row", tile = [128, 128], scales = "absmax" }: Fp8Options = {}): Scheme {
  if (!tile.every((extent) => Number.isSafeInteger(extent) && extent > 0)) {
    throw new ConfigError(`fp8: tile must be two positive integers, got [${tile.join(",")}]`);
  }
  const usual = tile[0] === 128 && tile[1] === 128;
  const suffix = per === "row" ? "" : per === "tile" && !usual ? `_tile_${tile.join("x")}` : `_${per}`;
  const { most, codeOf, numberOf } = formats[format];
  const codeIn = (scaled: number): number => codeOf(Math.min(Math.max(scaled, -most), most));
  const round = (scaled: number): number => numberOf(codeIn(scaled));
  const searches = scales === "leastSquares";
  const name = `fp8_${format}${suffix}`;
  const scaleOf = (x: Float32Array, weights: () => Float32Array): number => {
    const usual: Try = { scale: storedAsF32(greatest(x, 0, x.length) / most), round };
    if (!searches || !(usual.scale > 0)) return usual.scale;
    const around = (part: number): Try[] => [{ scale: usual.scale * part, round }];
    return fitStored(x, [0, x.length], usual, around, storedAsF32, weights()).scale;
  };
  const scheme: Scheme = {
    name,
    parts: [
      { role: "code", per: "element", bits: 8, as: format },
      { role: "scale", per, bits: 32, as: "f32" },
    ],
    block: 1,
    ...(per === "tile" ? { tile } : {}),
    ...(searches ? { scales, hostOnly: true as const } : {}),
    encode(x, shape, importance) {
      const { rows, width } = rowsOf(shape);
      const weigh = weigher(name, shape, importance);
      const stored = new Float32Array(sizeOf(partSpecs(scheme, shape)[1].shape));
      const codes = new Uint8Array(rows * width);
      eachTile(shape, scheme, (runs, at) => {
        const numbers = gathered(runs, (from, to) => x.subarray(from, to));
        const scale = (stored[at] = scaleOf(numbers, () => gathered(runs, weigh)));
        if (!(scale > 0)) return;
        for (const [from, to] of runs) for (let i = from; i < to; i++) codes[i] = codeIn(Math.fround(x[i] / scale));
      });
      return [packBits(codes, 8, rows, width), stored];
    },
  };
  return scheme;
}

/** Stretches of numbers, side by side in their rows. */
type Runs = readonly (readonly [from: number, to: number])[];

function gathered(runs: Runs, read: (from: number, to: number) => Float32Array): Float32Array {
  const all = new Float32Array(runs.reduce((size, [from, to]) => size + to - from, 0));
  let at = 0;
  for (const [from, to] of runs) {
    all.set(read(from, to).subarray(0, to - from), at);
    at += to - from;
  }
  return all;
}

/** Calls `each` with the rows of every group and the place of its scale; a row and a tensor are tiles as well. */
function eachTile(shape: Shape, { parts, tile }: Scheme, each: (runs: Runs, at: number) => void): void {
  const { rows, width } = rowsOf(shape);
  if (rows * width === 0) return;
  const whole = parts[1].per === "tensor";
  const height = whole || shape.length < 2 ? rows : shape[shape.length - 2];
  const [tall, wide] = tile ?? [whole ? rows : 1, width];
  let at = 0;
  for (let matrix = 0; matrix < rows; matrix += height)
    for (let top = matrix; top < matrix + height; top += tall)
      for (let left = 0; left < width; left += wide) {
        const end = Math.min(top + tall, matrix + height);
        const right = Math.min(left + wide, width);
        const runs = Array.from({ length: end - top }, (_, i) => [(top + i) * width + left, (top + i) * width + right] as const); // prettier-ignore
        each(runs, at++);
      }
}
