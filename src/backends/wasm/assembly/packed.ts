// Rows of numbers in plain order, as they are or packed by a scheme: which code decodes and encodes them. A row begins on a word in each part.
import { BF16, F16, PLAIN, Q4_0, Q8_0 } from "../codes";
import * as layout from "../layout";
import { word } from "./command";
import { copyWords, fillWords } from "./move";
import { decodeBf16Row, decodeF16Row, encodeFloats } from "./packed-floats";
import { MATRIX_WORDS, codesOf, scalesOf, schemeOf } from "./packed-matrix";
import { decodeQ4Row, encodeQ4Block } from "./packed-q4";
import { decodeQ8Row, encodeQ8Block } from "./packed-q8";
import { isRead, readRow } from "./packed-reading";

const BLOCK: u32 = 32;
const PIECE: u32 = layout.PIECE;

/** Bits of a code. */
function bitsOf(scheme: u32): u32 {
  return scheme == Q4_0 ? 4 : scheme == Q8_0 ? 8 : scheme == PLAIN ? 32 : 16;
}

/** The numbers of one row. */
export function decodeRow(command: usize, matrix: usize, row: u32, to: usize, width: u32): void {
  const scheme = schemeOf(command, matrix);
  if (isRead(scheme)) readRow(command, matrix, row, 0, width, to);
  else decodePlaced(scheme, codesOf(command, matrix, row), scalesOf(command, matrix, row), to, width);
}

/** Where `count` rows from `row` on lie as numbers, one after the other: in their own place, or decoded at `to`. */
export function decodeRows(command: usize, matrix: usize, row: u32, count: u32, to: usize, width: u32): usize {
  if (schemeOf(command, matrix) == PLAIN) return codesOf(command, matrix, row);
  for (let i: u32 = 0; i < count; i++) decodeRow(command, matrix, row + i, to + (((i as usize) * width) << 2), width);
  return to;
}

/** Of a row that was encoded here, wherever it lies. Only q8_0 and q4_0 have scales. */
export function decodePlaced(scheme: u32, codes: usize, scales: usize, to: usize, width: u32): void {
  switch (scheme) {
    case PLAIN:
      return copyWords(to, codes, width);
    case Q8_0:
      return decodeQ8Row(codes, scales, to, width);
    case Q4_0:
      return decodeQ4Row(codes, scales, to, width);
    case F16:
      return decodeF16Row(codes, to, width);
    case BF16:
      return decodeBf16Row(codes, to, width);
    default:
      unreachable();
  }
}

/** `width` numbers, a row or its part of whole pieces. `scratch`: 160 bytes. */
export function encodeRow(scheme: u32, x: usize, codes: usize, scales: usize, width: u32, scratch: usize): void {
  switch (scheme) {
    case PLAIN:
      return copyWords(codes, x, width);
    case F16:
      return encodeFloats(x, codes, width, true);
    case BF16:
      return encodeFloats(x, codes, width, false);
    default:
      return encodeBlocks(scheme, x, codes, scales, width, scratch);
  }
}

function encodeBlocks(scheme: u32, x: usize, codes: usize, scales: usize, width: u32, scratch: usize): void {
  for (let blocks = width >> 5; blocks != 0; blocks--) {
    store<u16>(scales, encodeBlock(scheme, x, codes, BLOCK) as u16);
    x += 4 * BLOCK;
    codes += (BLOCK >> 3) * bitsOf(scheme);
    scales += 2;
  }
  const left = width & 31;
  if (left != 0) {
    fillWords(scratch, 0, BLOCK);
    copyWords(scratch, x, left);
    store<u16>(scales, encodeBlock(scheme, scratch, scratch + 4 * BLOCK, left) as u16);
    copyWords(codes, scratch + 4 * BLOCK, (left * bitsOf(scheme) + 31) >> 5);
    scales += 2;
  }
  if (((width + 31) >> 5) & 1) store<u16>(scales, 0);
}

function encodeBlock(scheme: u32, x: usize, codes: usize, count: u32): u32 {
  return scheme == Q4_0 ? encodeQ4Block(x, codes, count) : encodeQ8Block(x, codes);
}

/** Words: the matrix; x, rows, numbers in a row, pieces per tile; scratch, bytes per thread. */
export function quantizeTile(command: usize, tile: u32, thread: u32): void {
  const own = MATRIX_WORDS, rows = word(command, own + 1), width = word(command, own + 2), perTile = word(command, own + 3);
  const scheme = schemeOf(command, 0);
  const pieces = (width + PIECE - 1) / PIECE;
  const scratch = (word(command, own + 4) as usize) + thread * word(command, own + 5);
  const last = min(rows * pieces, (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const row = item / pieces;
    const from = (item - row * pieces) * PIECE;
    const x = (word(command, own) as usize) + (((row as usize) * width + from) << 2);
    const codes = codesOf(command, 0, row) + ((from >> 3) * bitsOf(scheme));
    encodeRow(scheme, x, codes, scalesOf(command, 0, row) + (from >> 4), min(PIECE, width - from), scratch);
  }
}
