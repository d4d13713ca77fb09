// How a command describes a matrix: where its codes lie, words of them in a row, the scheme, rows of a matrix where parts have tiles for rows,
// else 0; then for each of the scheme's other parts, in their order, the same two. What is not packed has its numbers for codes.
import { INT4_INTEGERS, Q8_0_INTEGERS } from "../codes";
import { word } from "./command";

const SCHEME: usize = 2, HEIGHT: usize = 3, PARTS: usize = 4;
export const MATRIX_WORDS: usize = PARTS + 8;
/** Rows of a tile. */
const TILE: u32 = 128;

export function codesOf(command: usize, matrix: usize, row: usize): usize {
  return (word(command, matrix) as usize) + ((row * word(command, matrix + 1)) << 2);
}

export function schemeOf(command: usize, matrix: usize): u32 {
  return word(command, matrix + SCHEME);
}

/** Whether a weight's products are those of integers: x is rounded then (packed-activations.ts). */
export function isIntegers(scheme: u32): bool {
  return scheme >= (Q8_0_INTEGERS as u32) && scheme <= (INT4_INTEGERS as u32);
}

/** Where the part's row lies that belongs to a row of the numbers; part 0 is the first that has no codes. */
export function partOf(command: usize, matrix: usize, part: usize, row: u32): usize {
  const height = word(command, matrix + HEIGHT), at = matrix + PARTS + 2 * part;
  // Tiles never reach over the edge between two matrices.
  if (height != 0) row = (row / height) * ((height + TILE - 1) / TILE) + (row % height) / TILE;
  return (word(command, at) as usize) + (((row as usize) * word(command, at + 1)) << 2);
}

/** Where a row's scales lie. */
export function scalesOf(command: usize, matrix: usize, row: u32): usize {
  return partOf(command, matrix, 0, row);
}
