// Walks over the blocks of rows as encoders see them: a row ends its last block, which then is short.
import { rowsOf, type Shape } from "../../core/shape.js";

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

/** The nearest integer, ties to even, within [low, high]; NaN becomes 0. */
export function nearest(value: number, low: number, high: number): number {
  const cut = Math.min(Math.max(value, low), high) || 0;
  return cut + 1.5 * 2 ** 52 - 1.5 * 2 ** 52;
}
