// Walks over the blocks of rows as encoders see them: a row ends its last block, which then is short.
import { ConfigError } from "../../core/errors.js";
import { rowsOf, type Shape } from "../../core/shape.js";
import { f16ToF32, f32ToF16 } from "./float-codes.js";

/** A width of groups that somebody chose. @throws ConfigError */
export function expectGroup(where: string, group: number): number {
  if (Number.isSafeInteger(group) && group > 0) return group;
  throw new ConfigError(`${where}: group must be a positive integer, got ${group}`);
}

/** How many blocks of `size` numbers a row of `width` has. */
export function blocksPerRow(width: number, size: number): number {
  return width === 0 ? 0 : Math.ceil(width / Math.min(size, width)); // the size of a row alone is Infinity
}

/** Calls `each` with the range of every block and its place among all: row after row. */
export function eachBlock(shape: Shape, size: number, each: (from: number, to: number, block: number) => void): void {
  const { rows, width } = rowsOf(shape);
  const blocks = blocksPerRow(width, size);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const from = row * width + (block === 0 ? 0 : block * size);
      each(from, Math.min(from + size, (row + 1) * width), row * blocks + block);
    }
  }
}

/** The greatest magnitude in x[from..to); NaN if there is one. */
export function greatest(x: Float32Array, from: number, to: number): number {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(x[i])); // Math.max keeps NaN
  return most;
}

/** The first number of the greatest magnitude in x[from..to), with its sign; NaN if there is one. */
export function extreme(x: Float32Array, from: number, to: number): number {
  let most = 0;
  for (let i = from; i < to; i++) {
    if (Number.isNaN(x[i])) return NaN;
    if (Math.abs(x[i]) > Math.abs(most)) most = x[i];
  }
  return most;
}

/** A scale as it is stored. What is not finite becomes NaN, so that everything under it decodes to NaN and not to what 0 times infinity is. */
export function storedAsF16(scale: number): number {
  const code = f32ToF16(scale);
  return (code & 0x7c00) === 0x7c00 ? NaN : f16ToF32(code);
}

export function storedAsF32(scale: number): number {
  const rounded = Math.fround(scale);
  return Number.isFinite(rounded) ? rounded : NaN;
}

/** The nearest integer, ties to even, within [low, high]; NaN becomes 0. */
export function nearest(value: number, low: number, high: number): number {
  const cut = Math.min(Math.max(value, low), high) || 0;
  return cut + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}
