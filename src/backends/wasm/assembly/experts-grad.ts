// Gradients of the products with experts, group by group (group.ts).
import * as layout from "../layout";
import { word } from "./command";
import { storeLanes } from "./dot";
import { storeEdge } from "./gemm";
import { beginOf, countOf, expertOf, itemAt } from "./group";
import { COLUMNS, ROWS, stridedBlock } from "./micro";
import { touch } from "./touch";

/** Steps of a sum at a time: so many rows of a weight, as wide as a tile, stay in the second-level cache. */
const DEPTH: u32 = 64;
const SLOTS: u32 = layout.GATHERED_SLOTS, GATHERED_COLUMNS: u32 = layout.GATHERED_COLUMNS;
const ROW_BYTES: usize = 4 * layout.GATHERED_ROW;

/**
 * dx = dy W for one item of a group, some columns; slots without an expert get 0. Words: dy, bytes between its rows; weights, bytes
 * between their rows, between experts; columns, k (rows of a weight); dx, bytes between its rows; order, items, E, columns per tile;
 * scratch of the threads and bytes of it per thread: [count, rounded up to 4][columns per tile, rounded up to 8].
 */
export function groupInputGradTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, 5), k = word(command, 6), perTile = word(command, 12);
  const tiles = (columns + perTile - 1) / perTile;
  const item = itemAt(word(command, 10), tile / tiles);
  if (item == 0) return;
  const column = (tile % tiles) * perTile, count = countOf(item), expert = expertOf(item);
  const width = min(perTile, columns - column);
  const order = (word(command, 9) as usize) + (beginOf(item) << 2);
  const dx = (word(command, 7) as usize) + (column << 2), dxRow = word(command, 8) as usize;
  if (expert == word(command, 11)) {
    for (let m: u32 = 0; m < count; m++) memory.fill(dx + load<u32>(order + (m << 2)) * dxRow, 0, width << 2);
    return;
  }
  const dy = word(command, 0) as usize, dyRow = word(command, 1) as usize, bRow = word(command, 3) as usize;
  const weight = (word(command, 2) as usize) + expert * word(command, 4) + (column << 2);
  const sums = (word(command, 13) as usize) + thread * word(command, 14);
  const sumsRow = (((width + COLUMNS - 1) / COLUMNS) * COLUMNS) << 2;
  const most = count - 1;
  let from: u32 = 0;
  do {
    const depth = min(DEPTH, k - from);
    const a = dy + (from << 2), b = weight + from * bRow;
    for (let i: u32 = 0; i < depth; i++) touch(b + i * bRow, width << 2);
    for (let n: u32 = 0; n < width; n += COLUMNS) {
      for (let m: u32 = 0; m < count; m += ROWS) {
        const a0 = a + load<u32>(order + (m << 2)) * dyRow, a1 = a + load<u32>(order + (min(m + 1, most) << 2)) * dyRow;
        const a2 = a + load<u32>(order + (min(m + 2, most) << 2)) * dyRow, a3 = a + load<u32>(order + (min(m + 3, most) << 2)) * dyRow;
        stridedBlock(a0, a1, a2, a3, 4, b + (n << 2), bRow, depth, sums + m * sumsRow + (n << 2), sumsRow, from != 0);
      }
    }
    from += depth;
  } while (from < k);
  for (let m: u32 = 0; m < count; m++) copyRow(sums + m * sumsRow, dx + load<u32>(order + (m << 2)) * dxRow, width);
}

function copyRow(from: usize, to: usize, count: u32): void {
  for (let i = count >> 2; i != 0; i--) {
    v128.store(to, v128.load(from));
    from += 16;
    to += 16;
  }
  if (count & 3) storeLanes(to, v128.load(from), count & 3);
}

/**
 * Some rows of dW[e] = dy^T x over the slots of e, 0 if it has none. Words: x, bytes between its rows, row of x per place in the order;
 * dy, bytes between its rows; dW, its rows and columns per expert, rows per tile (at most 64, a multiple of 4); ends, order; scratch of
 * the threads and bytes of it per thread, WEIGHT_GRAD_BYTES in kernels/expert-linear-grad.ts.
 */
export function groupWeightGradTile(command: usize, tile: u32, thread: u32): void {
  const outs = word(command, 6), columns = word(command, 7), perTile = word(command, 8);
  const tiles = (outs + perTile - 1) / perTile;
  const expert = tile / tiles, out = (tile % tiles) * perTile;
  const rows = min(perTile, outs - out);
  const ends = (word(command, 9) as usize) + (expert << 2);
  const begin: u32 = expert == 0 ? 0 : load<u32>(ends - 4), end = load<u32>(ends);
  const rowBytes = (columns as usize) << 2;
  const to = (word(command, 5) as usize) + (expert * outs + out) * rowBytes;
  if (begin == end) {
    memory.fill(to, 0, rows * rowBytes);
    return;
  }
  const xRow = word(command, 1) as usize, dyRow = word(command, 4) as usize;
  const edge = (word(command, 11) as usize) + thread * word(command, 12);
  const right = edge + ROWS * COLUMNS * 4, left = right + SLOTS * ROW_BYTES;
  const leftRow = ((rows + 3) & ~3) << 2;
  for (let from = begin; from < end; from += SLOTS) {
    const count = min(SLOTS, end - from);
    gather((word(command, 3) as usize) + (out << 2), dyRow, (word(command, 10) as usize) + (from << 2), count, rows, left, leftRow);
    for (let column: u32 = 0; column < columns; column += GATHERED_COLUMNS) {
      const width = min(GATHERED_COLUMNS, columns - column);
      gather((word(command, 0) as usize) + (column << 2), xRow, (word(command, 2) as usize) + (from << 2), count, width, right, ROW_BYTES);
      for (let m: u32 = 0; m < rows; m += ROWS) {
        const a = left + (m << 2), c = to + m * rowBytes + (column << 2);
        const height = min(ROWS, rows - m);
        for (let n: u32 = 0; n < width; n += COLUMNS) {
          const b = right + (n << 2), at = c + (n << 2);
          if (height == ROWS && n + COLUMNS <= width) {
            stridedBlock(a, a + 4, a + 8, a + 12, leftRow, b, ROW_BYTES, count, at, rowBytes, from != begin);
          } else {
            stridedBlock(a, a + 4, a + 8, a + 12, leftRow, b, ROW_BYTES, count, edge, COLUMNS * 4, false);
            storeEdge(edge, at, rowBytes, height, min(COLUMNS, width - n), from != begin);
          }
        }
      }
    }
  }
}

/** Rows `list` of x, the first `columns` numbers, rounded up to whole vectors. */
function gather(x: usize, xRow: usize, list: usize, count: u32, columns: u32, to: usize, toRow: usize): void {
  for (let i: u32 = 0; i < count; i++, to += toRow) {
    const from = x + load<u32>(list + (i << 2)) * xRow;
    for (let n: u32 = 0; n < columns; n += 4) v128.store(to + (n << 2), v128.load(from + (n << 2)));
  }
}
