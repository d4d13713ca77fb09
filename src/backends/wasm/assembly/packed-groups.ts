// Many rows of x times rows of a weight: codes are put in order, or decoded, once for all of them.
import { PANEL_SPARE } from "../layout";
import { INT4_INTEGERS, INT8_INTEGERS, Q4_0_INTEGERS, Q8_0_INTEGERS } from "../codes";
import { word } from "./command";
import { storeLanes } from "./dot";
import { groupProduct } from "./experts";
import { beginOf, countOf, expertOf, itemAt } from "./group";
import { COLUMNS } from "./micro";
import { packPanel } from "./pack";
import { decodeRows } from "./packed";
import { MATRIX_WORDS, codesOf, isIntegers, scalesOf, schemeOf } from "./packed-matrix";
import { PANEL_ROWS, packRows, panelBytes, panelProducts } from "./packed-panels";
import { silu } from "./swiglu";

/** The i-th of a list of rows; 0 stands for all rows in order. */
function rowOf(list: usize, i: u32): u32 {
  return list == 0 ? i : load<u32>(list + (i << 2));
}

function packAll<S>(command: usize, row: u32, columns: u32, k: u32, panels: usize, spare: usize): void {
  const codeRow = codesOf(command, 0, 1) - codesOf(command, 0, 0), scaleRow = scalesOf(command, 0, 1) - scalesOf(command, 0, 0);
  for (let n: u32 = 0; n < columns; n += PANEL_ROWS) {
    const count = min(PANEL_ROWS, columns - n), at = panels + (n / PANEL_ROWS) * panelBytes(k);
    packRows<S>(codesOf(command, 0, row + n), codeRow, scalesOf(command, 0, row + n), scaleRow, count, k, at, spare);
  }
}

function productsOf<S>(
  command: usize, row: u32, columns: u32, k: u32, x: usize, xRow: usize, sources: usize, count: u32,
  y: usize, yRow: usize, targets: usize, bias: usize, scratch: usize,
): void {
  const panels = scratch + PANEL_SPARE; // sums, or short blocks, lie before them
  packAll<S>(command, row, columns, k, panels, scratch);
  for (let m: u32 = 0; m < count; m += 4) {
    const last = count - 1;
    const x0 = x + rowOf(sources, m) * xRow, x1 = x + rowOf(sources, min(m + 1, last)) * xRow;
    const x2 = x + rowOf(sources, min(m + 2, last)) * xRow, x3 = x + rowOf(sources, min(m + 3, last)) * xRow;
    for (let n: u32 = 0; n < columns; n += PANEL_ROWS) {
      panelProducts<S>(panels + (n / PANEL_ROWS) * panelBytes(k), x0, x1, x2, x3, k, scratch);
      for (let i: u32 = 0; i < min(4, count - m); i++) {
        const to = y + rowOf(targets, m + i) * yRow + (n << 2), left = columns - n;
        storeSums(to, scratch + (i << 5), bias == 0 ? 0 : bias + (n << 2), left);
        if (left > 4) storeSums(to + 16, scratch + (i << 5) + 16, bias == 0 ? 0 : bias + (n << 2) + 16, left - 4);
      }
    }
  }
}

/** Rounded rows `sources` of x times rows `row` on of the weight, into rows `targets` of y; `bias` of each column unless 0. */
function integerProducts(
  command: usize, row: u32, columns: u32, k: u32, x: usize, xRow: usize, sources: usize, count: u32,
  y: usize, yRow: usize, targets: usize, bias: usize, scratch: usize,
): void {
  switch (schemeOf(command, 0)) {
    case Q8_0_INTEGERS:
      return productsOf<i8>(command, row, columns, k, x, xRow, sources, count, y, yRow, targets, bias, scratch);
    case Q4_0_INTEGERS:
      return productsOf<u8>(command, row, columns, k, x, xRow, sources, count, y, yRow, targets, bias, scratch);
    case INT8_INTEGERS:
      return productsOf<i16>(command, row, columns, k, x, xRow, sources, count, y, yRow, targets, bias, scratch);
    case INT4_INTEGERS:
      return productsOf<u16>(command, row, columns, k, x, xRow, sources, count, y, yRow, targets, bias, scratch);
    default:
      unreachable();
  }
}

function storeSums(to: usize, sums: usize, bias: usize, left: u32): void {
  let value = v128.load(sums);
  if (bias != 0) value = f32x4.add(value, v128.load(bias));
  storeLanes(to, value, left);
}

/** The same, whatever the weight is. */
function products(
  command: usize, row: u32, columns: u32, k: u32, x: usize, xRow: usize, sources: usize, count: u32,
  y: usize, yRow: usize, targets: usize, scratch: usize,
): void {
  if (isIntegers(schemeOf(command, 0))) {
    integerProducts(command, row, columns, k, x, xRow, sources, count, y, yRow, targets, 0, scratch);
  } else {
    const bytes = (k as usize) << 2, b = decodeRows(command, 0, row, columns, scratch, k);
    groupProduct(x, xRow, sources, count, b, bytes, columns, k, y, yRow, targets);
  }
}

/**
 * Words: the weight; x, bytes between its rows, rows; columns, k; y, bytes between its rows; columns and rows per tile; scratch of the threads,
 * bytes of it per thread; bias or 0.
 */
export function packedManyTile(command: usize, tile: u32, thread: u32): void {
  const own = MATRIX_WORDS;
  const rows = word(command, own + 2), columns = word(command, own + 3), k = word(command, own + 4);
  const across = word(command, own + 7), down = word(command, own + 8);
  const tiles = (columns + across - 1) / across;
  const column = (tile % tiles) * across, row = (tile / tiles) * down;
  const xRow = word(command, own + 1) as usize, yRow = word(command, own + 6) as usize;
  const x = (word(command, own) as usize) + row * xRow, y = (word(command, own + 5) as usize) + row * yRow + (column << 2);
  const scratch = (word(command, own + 9) as usize) + thread * word(command, own + 10);
  const bias = word(command, own + 11) == 0 ? 0 : (word(command, own + 11) as usize) + (column << 2);
  const width = min(across, columns - column), count = min(down, rows - row);
  integerProducts(command, column, width, k, x, xRow, 0, count, y, yRow, 0, bias, scratch);
}

/**
 * Panels for the f32 product (gemm.ts). Words: the weight; to, first row, rows, k, panels per tile; scratch of the threads, bytes of it per
 * thread.
 */
export function packDecodedTile(command: usize, tile: u32, thread: u32): void {
  const own = MATRIX_WORDS;
  const first = word(command, own + 1), rows = word(command, own + 2), k = word(command, own + 3), perTile = word(command, own + 4);
  const scratch = (word(command, own + 5) as usize) + thread * word(command, own + 6);
  const bytes = (k as usize) << 2;
  const last = min(rows, (tile + 1) * perTile * COLUMNS);
  for (let n = tile * perTile * COLUMNS; n < last; n += COLUMNS) {
    const count = min(COLUMNS, last - n);
    packPanel(decodeRows(command, 0, first + n, count, scratch, k), (word(command, own) as usize) + n * bytes, COLUMNS, count, k, bytes, 4);
  }
}

// Words of the commands for groups: the weight; x, bytes between its rows, row of x per place in the order; columns, k; y, bytes between its rows;
// columns per tile; scratch of the threads, bytes of it per thread; order, E, items.
const X: usize = MATRIX_WORDS, SIZES: usize = X + 3, Y: usize = X + 5, PER_TILE: usize = X + 7, SCRATCH: usize = X + 8, ORDER: usize = X + 10;

/** One item of a group, some columns; slots without an expert get 0. */
export function packedGroupLinearTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, SIZES), k = word(command, SIZES + 1), perTile = word(command, PER_TILE);
  const tiles = (columns + perTile - 1) / perTile;
  const item = itemAt(word(command, ORDER + 2), tile / tiles);
  if (item == 0) return;
  const column = (tile % tiles) * perTile, count = countOf(item), expert = expertOf(item);
  const width = min(perTile, columns - column);
  const sources = (word(command, X + 2) as usize) + (beginOf(item) << 2), targets = (word(command, ORDER) as usize) + (beginOf(item) << 2);
  const y = (word(command, Y) as usize) + (column << 2), yRow = word(command, Y + 1) as usize;
  if (expert == word(command, ORDER + 1)) {
    for (let m: u32 = 0; m < count; m++) memory.fill(y + load<u32>(targets + (m << 2)) * yRow, 0, width << 2);
    return;
  }
  const scratch = (word(command, SCRATCH) as usize) + thread * word(command, SCRATCH + 1);
  products(command, expert * columns + column, width, k, word(command, X), word(command, X + 1), sources, count, y, yRow, targets, scratch);
}

/** silu(gate x) * (up x); the scratch memory begins with room for 2 [count, columns per tile]. Slots without an expert are left as they are. */
export function packedGroupGatedTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, SIZES), k = word(command, SIZES + 1), perTile = word(command, PER_TILE);
  const tiles = (columns + perTile - 1) / perTile;
  const item = itemAt(word(command, ORDER + 2), tile / tiles);
  if (item == 0 || expertOf(item) == word(command, ORDER + 1)) return;
  const column = (tile % tiles) * perTile, count = countOf(item);
  const width = min(perTile, columns - column);
  const sources = (word(command, X + 2) as usize) + (beginOf(item) << 2), targets = (word(command, ORDER) as usize) + (beginOf(item) << 2);
  const x = word(command, X) as usize, xRow = word(command, X + 1) as usize;
  const left = (word(command, SCRATCH) as usize) + thread * word(command, SCRATCH + 1);
  const bytes = (perTile as usize) << 2;
  const right = left + count * bytes, scratch = right + count * bytes;
  const gate = 2 * expertOf(item) * columns + column;
  products(command, gate, width, k, x, xRow, sources, count, left, bytes, 0, scratch);
  products(command, gate + columns, width, k, x, xRow, sources, count, right, bytes, 0, scratch);
  for (let m: u32 = 0; m < count; m++) {
    const y = (word(command, Y) as usize) + load<u32>(targets + (m << 2)) * word(command, Y + 1) + (column << 2);
    const from = m * bytes;
    for (let n: u32 = 0; n < width; n += 4) {
      const at = from + (n << 2);
      storeLanes(y + (n << 2), f32x4.mul(silu(v128.load(left + at)), v128.load(right + at)), width - n);
    }
  }
}
