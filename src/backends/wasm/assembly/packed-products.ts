// Few rows of x times packed weights, which are read once, where they lie.
import { word } from "./command";
import { DOT_SCRATCH } from "../layout";
import { dotRows, storeApart, storeLanes } from "./dot";
import { addRow } from "./gemm";
import { decodeRows } from "./packed";
import { MATRIX_WORDS, isIntegers, schemeOf } from "./packed-matrix";
import { fourProducts } from "./packed-weights";
import { madd } from "./simd";
import { silu } from "./swiglu";

/**
 * The quarters of a tile's columns side by side, as dotRow has them. Several rows of x meet rows of the weight that are decoded once for all of
 * them, unless the products are of integers. Words: weight; x, bytes between its rows, rows; columns, k; y, bytes between its rows; columns per
 * tile; scratch of the threads, bytes of it per thread; bias or 0.
 */
export function packedRowsTile(command: usize, tile: u32, thread: u32): void {
  const own = MATRIX_WORDS;
  const x = word(command, own) as usize, xRow = word(command, own + 1) as usize, rows = word(command, own + 2);
  const columns = word(command, own + 3), k = word(command, own + 4), perTile = word(command, own + 7);
  const y = word(command, own + 5) as usize, yRow = word(command, own + 6) as usize, bias = word(command, own + 10) as usize;
  const scratch = (word(command, own + 8) as usize) + thread * word(command, own + 9);
  const first = tile * perTile, count = min(perTile, columns - first), apart = count >> 2, bytes = (k as usize) << 2;
  if (rows > 1 && !isIntegers(schemeOf(command, 0))) {
    for (let n = first; n < first + count; n += 4) {
      const four = min(4, first + count - n);
      dotRows(x, xRow, rows, decodeRows(command, 0, n, four, scratch, k), bytes, four, k, y + (n << 2), yRow);
    }
  } else {
    for (let n = first; n < first + apart; n++) {
      for (let m: usize = 0; m < rows; m++) {
        storeApart(y + m * yRow + (n << 2), fourProducts(command, n, 4, apart, x + m * xRow, k, scratch), apart);
      }
    }
    const n = first + 4 * apart, left = count & 3;
    for (let m: usize = 0; m < rows && left != 0; m++) {
      storeLanes(y + m * yRow + (n << 2), fourProducts(command, n, left, 1, x + m * xRow, k, scratch), left);
    }
  }
  for (let m: usize = 0; m < rows && bias != 0; m++) addRow(y + m * yRow + (first << 2), bias + (first << 2), count);
}

// Words: weight; x, bytes between its rows, slots that share a row; columns, k; y, bytes between its rows; columns per tile; scratch of the
// threads; experts, E; factors.
const X: usize = MATRIX_WORDS, COLUMNS: usize = X + 3, Y: usize = X + 5, PER_TILE: usize = X + 7, SCRATCH: usize = X + 8;
const EXPERTS: usize = X + 9, FACTORS: usize = X + 11;

/** One slot, some columns; 0 for an empty slot. */
export function packedSlotLinearTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, COLUMNS), perTile = word(command, PER_TILE);
  const tiles = (columns + perTile - 1) / perTile;
  const slot = tile / tiles, column = (tile % tiles) * perTile;
  const last = min(columns, column + perTile), scratch = (word(command, SCRATCH) as usize) + thread * DOT_SCRATCH;
  const y = (word(command, Y) as usize) + slot * word(command, Y + 1);
  const expert = load<u32>((word(command, EXPERTS) as usize) + (slot << 2));
  if (expert >= word(command, EXPERTS + 1)) {
    memory.fill(y + (column << 2), 0, (last - column) << 2);
    return;
  }
  const x = (word(command, X) as usize) + (slot / word(command, X + 2)) * word(command, X + 1);
  for (let n = column; n < last; n += 4) {
    storeLanes(y + (n << 2), fourProducts(command, expert * columns + n, last - n, 1, x, word(command, COLUMNS + 1), scratch), last - n);
  }
}

/** silu(gate x) * (up x); the rows of up follow the `columns` rows of gate. An empty slot is left as it is. */
export function packedSlotGatedTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, COLUMNS), k = word(command, COLUMNS + 1), perTile = word(command, PER_TILE);
  const tiles = (columns + perTile - 1) / perTile;
  const slot = tile / tiles, column = (tile % tiles) * perTile;
  const expert = load<u32>((word(command, EXPERTS) as usize) + (slot << 2));
  if (expert >= word(command, EXPERTS + 1)) return;
  const x = (word(command, X) as usize) + (slot / word(command, X + 2)) * word(command, X + 1);
  const y = (word(command, Y) as usize) + slot * word(command, Y + 1);
  const scratch = (word(command, SCRATCH) as usize) + thread * DOT_SCRATCH;
  const last = min(columns, column + perTile), gate = 2 * expert * columns;
  for (let n = column; n < last; n += 4) {
    const left = last - n;
    const gated = silu(fourProducts(command, gate + n, left, 1, x, k, scratch));
    storeLanes(y + (n << 2), f32x4.mul(gated, fourProducts(command, gate + columns + n, left, 1, x, k, scratch)), left);
  }
}

/** Some columns of one row of y: the sum over its slots times `factors`, in their order. Here each slot has a row of x. */
export function packedSlotDownTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, COLUMNS), k = word(command, COLUMNS + 1), perTile = word(command, PER_TILE), slots = word(command, X + 2);
  const tiles = (columns + perTile - 1) / perTile;
  const row = tile / tiles, column = (tile % tiles) * perTile;
  const y = (word(command, Y) as usize) + row * word(command, Y + 1);
  const last = min(columns, column + perTile), scratch = (word(command, SCRATCH) as usize) + thread * DOT_SCRATCH;
  memory.fill(y + (column << 2), 0, (last - column) << 2);
  for (let slot = row * slots; slot < (row + 1) * slots; slot++) {
    const expert = load<u32>((word(command, EXPERTS) as usize) + (slot << 2));
    if (expert >= word(command, EXPERTS + 1)) continue;
    const factor = v128.load_splat<f32>((word(command, FACTORS) as usize) + (slot << 2));
    const x = (word(command, X) as usize) + slot * word(command, X + 1);
    for (let n = column; n < last; n += 4) {
      const left = last - n, to = y + (n << 2);
      const product = fourProducts(command, expert * columns + n, left, 1, x, k, scratch);
      storeLanes(to, madd(factor, product, v128.load(to)), left);
    }
  }
}
