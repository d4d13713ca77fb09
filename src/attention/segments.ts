// Texts that share a row but not their attention: several packed into one, or one cut into chunks.
import { ConfigError, IndexError, ShapeError } from "../core/errors.js";
import type { Positions } from "./positions.js";

export interface PackedOptions {
  /** T; the longest row unless given. */
  readonly tokens?: number;
  /** Where shorter rows are filled up; "right" unless given. */
  readonly padding?: "left" | "right";
}

/**
 * Positions of texts that lie one behind the other, per batch row: each counts from 0 and is a segment of its own (0, 1, ...), so none sees
 * another. What a row lacks is padding.
 * @param lengths tokens of each text, per row; a text of none is allowed and keeps its segment's number
 * @throws IndexError if a length is no count; ShapeError if a row holds more than `tokens`; ConfigError if there are rows, but no text to give T
 */
export function packedPositions(
  lengths: readonly (readonly number[])[],
  { tokens, padding = "right" }: PackedOptions = {},
): Positions {
  const bad = lengths.flat().find((length) => !Number.isInteger(length) || length < 0);
  if (bad !== undefined) throw new IndexError(`packedPositions: lengths must be integers of at least 0, got ${bad}`);
  const counts = lengths.map((row) => row.reduce((sum, length) => sum + length, 0));
  const width = tokens ?? Math.max(0, ...counts);
  if (!Number.isInteger(width) || width < 0)
    throw new ConfigError(`packedPositions: tokens must be an integer of at least 0, got ${width}`);
  const full = counts.findIndex((count) => count > width);
  if (full >= 0)
    throw new ShapeError(`packedPositions: row ${full} must hold at most ${width} tokens, got ${counts[full]}`);
  const position = new Int32Array(lengths.length * width).fill(-1);
  const segment = new Int32Array(lengths.length * width);
  lengths.forEach((row, b) => {
    let at = b * width + (padding === "left" ? width - counts[b] : 0);
    row.forEach((length, text) => {
      for (let place = 0; place < length; place++, at++) [position[at], segment[at]] = [place, text];
    });
  });
  return { shape: [lengths.length, width], position, segment };
}

/**
 * Chunked attention (Llama 4): tokens see those of their own chunk of `size` positions, and of their own segment as before. Positions stay, and
 * so do global marks, which reach as far as the chunk. A token's new segment follows from its own position and segment, so a text may be read
 * in parts, behind a cache as well.
 * @throws ConfigError if `size` is no positive integer; IndexError if a segment or a chunk is numbered over 46,339
 */
export function chunkPositions(positions: Positions, size: number): Positions {
  if (!Number.isInteger(size) || size < 1)
    throw new ConfigError(`chunkPositions: size must be a positive integer, got ${size}`);
  const segment = positions.segment.map((mark, i) => {
    const place = positions.position[i];
    if (place < 0) return mark;
    const paired = pair(mark < 0 ? ~mark : mark, Math.floor(place / size));
    return mark < 0 ? ~paired : paired;
  });
  return { ...positions, segment };
}

/** One number for two, different for any two others (Szudzik 2006); within 31 bits while both are below 46,340. */
function pair(a: number, b: number): number {
  const most = 46_340;
  if (a < most && b < most) return a < b ? b * b + a : a * a + a + b;
  throw new IndexError(
    `chunkPositions: segment and chunk must be numbered below ${most}, got ${a} and ${b}; take a greater size`,
  );
}
