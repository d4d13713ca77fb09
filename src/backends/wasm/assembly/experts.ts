// Products of rows with the weight of their expert: for few slots one by one, for many in groups (group.ts). Nothing is packed: weights
// [out, in] and rows both lie along the sums, and a group's rows are read and written where they are.
import { word } from "./command";
import { dot2x4, dot4, dotRows, storeLanes } from "./dot";
import { beginOf, countOf, expertOf, itemAt } from "./group";
import { madd } from "./simd";
import { silu } from "./swiglu";
import { touch } from "./touch";

/** A row's product with the next four rows of b, of which `left` exist. */
function nextFour(a: usize, b: usize, bRow: usize, left: u32, k: u32): v128 {
  const b1 = left > 1 ? b + bRow : b;
  const b2 = left > 2 ? b1 + bRow : b1;
  return dot4(a, b, b1, b2, left > 3 ? b2 + bRow : b2, k);
}

/** How many rows of a weight are fetched before they are used: about 16 KiB. */
function rowsAtOnce(bRow: usize): u32 {
  return max(4, (16384 / max(64, bRow)) & ~3);
}

/**
 * One slot, some columns. Words: x, bytes between its rows, slots that share a row of x; weights, bytes between their rows, between
 * experts; columns, k; y, bytes between its rows; experts, E, columns per tile.
 */
export function slotLinearTile(command: usize, tile: u32): void {
  const columns = word(command, 6), perTile = word(command, 12);
  const tiles = (columns + perTile - 1) / perTile;
  const slot = tile / tiles, column = (tile % tiles) * perTile;
  const count = min(perTile, columns - column);
  const y = (word(command, 8) as usize) + slot * word(command, 9) + (column << 2);
  const expert = load<u32>((word(command, 10) as usize) + (slot << 2));
  if (expert >= word(command, 11)) {
    memory.fill(y, 0, count << 2);
    return;
  }
  const bRow = word(command, 4) as usize;
  const weight = (word(command, 3) as usize) + expert * word(command, 5) + column * bRow;
  const x = (word(command, 0) as usize) + (slot / word(command, 2)) * word(command, 1);
  const atOnce = rowsAtOnce(bRow);
  for (let n: u32 = 0; n < count; n += atOnce) {
    const some = min(atOnce, count - n);
    touch(weight + n * bRow, some * bRow);
    dotRows(x, 0, 1, weight + n * bRow, bRow, some, word(command, 7), y + (n << 2), 0);
  }
}

/** silu(gate x) * (up x): words as of slotLinearTile; the rows of up follow the `columns` rows of gate. An empty slot is left as it is. */
export function slotGatedTile(command: usize, tile: u32): void {
  const columns = word(command, 6), k = word(command, 7), perTile = word(command, 12);
  const tiles = (columns + perTile - 1) / perTile;
  const slot = tile / tiles, column = (tile % tiles) * perTile;
  const expert = load<u32>((word(command, 10) as usize) + (slot << 2));
  if (expert >= word(command, 11)) return;
  const bRow = word(command, 4) as usize;
  const gate = (word(command, 3) as usize) + expert * word(command, 5);
  const up = gate + columns * bRow;
  const x = (word(command, 0) as usize) + (slot / word(command, 2)) * word(command, 1);
  const y = (word(command, 8) as usize) + slot * word(command, 9);
  const last = min(columns, column + perTile);
  const atOnce = rowsAtOnce(bRow);
  let fetched = column;
  for (let n = column; n < last; n += 4) {
    if (n == fetched) {
      const some = min(atOnce, last - n);
      touch(gate + n * bRow, some * bRow);
      touch(up + n * bRow, some * bRow);
      fetched += atOnce;
    }
    const value = f32x4.mul(silu(nextFour(x, gate + n * bRow, bRow, last - n, k)), nextFour(x, up + n * bRow, bRow, last - n, k));
    storeLanes(y + (n << 2), value, last - n);
  }
}

/**
 * Some columns of one row of y: the weighted sum over its slots, in their order. Words: x, bytes between its rows, slots of a row;
 * weights, bytes between their rows, between experts; columns, k; y, bytes between its rows; experts, E, columns per tile; factors.
 */
export function slotDownTile(command: usize, tile: u32): void {
  const columns = word(command, 6), k = word(command, 7), perTile = word(command, 12), slots = word(command, 2);
  const tiles = (columns + perTile - 1) / perTile;
  const row = tile / tiles, column = (tile % tiles) * perTile;
  const bRow = word(command, 4) as usize;
  const y = (word(command, 8) as usize) + row * word(command, 9);
  const last = min(columns, column + perTile);
  const atOnce = rowsAtOnce(bRow);
  memory.fill(y + (column << 2), 0, (last - column) << 2);
  for (let slot = row * slots; slot < (row + 1) * slots; slot++) {
    const expert = load<u32>((word(command, 10) as usize) + (slot << 2));
    if (expert >= word(command, 11)) continue;
    const factor = f32x4.splat(load<f32>((word(command, 13) as usize) + (slot << 2)));
    const weight = (word(command, 3) as usize) + expert * word(command, 5);
    const x = (word(command, 0) as usize) + slot * word(command, 1);
    let fetched = column;
    for (let n = column; n < last; n += 4) {
      if (n == fetched) {
        touch(weight + n * bRow, min(atOnce, last - n) * bRow);
        fetched += atOnce;
      }
      const to = y + (n << 2);
      storeLanes(to, madd(factor, nextFour(x, weight + n * bRow, bRow, last - n, k), v128.load(to)), last - n);
    }
  }
}

/** Rows `sources` of x times all `columns` rows of b, into rows `targets` of y, or one after the other where that is 0. */
export function groupProduct(
  x: usize, xRow: usize, sources: usize, count: u32, b: usize, bRow: usize, columns: u32, k: u32, y: usize, yRow: usize, targets: usize,
): void {
  const atOnce = rowsAtOnce(bRow);
  let fetched: u32 = 0;
  for (let n: u32 = 0; n < columns; n += 4) {
    const left = columns - n;
    if (n == fetched) {
      touch(b + n * bRow, min(atOnce, left) * bRow);
      fetched += atOnce;
    }
    const b0 = b + n * bRow;
    const b1 = left > 1 ? b0 + bRow : b0;
    const b2 = left > 2 ? b1 + bRow : b1;
    const b3 = left > 3 ? b2 + bRow : b2;
    const c = y + (n << 2);
    let m: u32 = 0;
    for (; m + 2 <= count; m += 2) {
      const at = m << 2;
      const first = targets == 0 ? m : load<u32>(targets + at), second = targets == 0 ? m + 1 : load<u32>(targets + at, 4);
      const a = x + load<u32>(sources + at) * xRow;
      const apart = x + load<u32>(sources + at, 4) * xRow - a;
      dot2x4(a, apart, b0, b1, b2, b3, k, c + first * yRow, (second - first) * yRow, left);
    }
    if (m < count) {
      const to = targets == 0 ? m : load<u32>(targets + (m << 2));
      storeLanes(c + to * yRow, dot4(x + load<u32>(sources + (m << 2)) * xRow, b0, b1, b2, b3, k), left);
    }
  }
}

/**
 * One item of a group, some columns; slots without an expert get 0. Words: x, bytes between its rows, row of x per place in the order;
 * weights, bytes between their rows, between experts; columns, k; y, bytes between its rows; order, E, columns per tile; items.
 */
export function groupLinearTile(command: usize, tile: u32): void {
  const columns = word(command, 6), perTile = word(command, 12);
  const tiles = (columns + perTile - 1) / perTile;
  const item = itemAt(word(command, 13), tile / tiles);
  if (item == 0) return;
  const column = (tile % tiles) * perTile, count = countOf(item), expert = expertOf(item);
  const width = min(perTile, columns - column);
  const sources = (word(command, 2) as usize) + (beginOf(item) << 2), targets = (word(command, 10) as usize) + (beginOf(item) << 2);
  const y = (word(command, 8) as usize) + (column << 2), yRow = word(command, 9) as usize;
  if (expert == word(command, 11)) {
    for (let m: u32 = 0; m < count; m++) memory.fill(y + load<u32>(targets + (m << 2)) * yRow, 0, width << 2);
    return;
  }
  const bRow = word(command, 4) as usize;
  const weight = (word(command, 3) as usize) + expert * word(command, 5) + column * bRow;
  groupProduct(word(command, 0), word(command, 1), sources, count, weight, bRow, width, word(command, 7), y, yRow, targets);
}

/**
 * silu(gate x) * (up x): words as of groupLinearTile, then scratch of the threads and bytes of it per thread: room for 2 [count, columns
 * per tile]. Slots without an expert are left as they are.
 */
export function groupGatedTile(command: usize, tile: u32, thread: u32): void {
  const columns = word(command, 6), k = word(command, 7), perTile = word(command, 12);
  const tiles = (columns + perTile - 1) / perTile;
  const item = itemAt(word(command, 13), tile / tiles);
  if (item == 0 || expertOf(item) == word(command, 11)) return;
  const column = (tile % tiles) * perTile, count = countOf(item);
  const width = min(perTile, columns - column);
  const sources = (word(command, 2) as usize) + (beginOf(item) << 2), targets = (word(command, 10) as usize) + (beginOf(item) << 2);
  const x = word(command, 0) as usize, xRow = word(command, 1) as usize, bRow = word(command, 4) as usize;
  const gate = (word(command, 3) as usize) + expertOf(item) * word(command, 5) + column * bRow;
  const left = (word(command, 14) as usize) + thread * word(command, 15);
  const bytes = (perTile as usize) << 2;
  const right = left + count * bytes;
  groupProduct(x, xRow, sources, count, gate, bRow, width, k, left, bytes, 0);
  groupProduct(x, xRow, sources, count, gate + columns * bRow, bRow, width, k, right, bytes, 0);
  for (let m: u32 = 0; m < count; m++) {
    const y = (word(command, 8) as usize) + load<u32>(targets + (m << 2)) * word(command, 9) + (column << 2);
    const from = m * bytes;
    for (let n: u32 = 0; n < width; n += 4) {
      const at = from + (n << 2);
      storeLanes(y + (n << 2), f32x4.mul(silu(v128.load(left + at)), v128.load(right + at)), width - n);
    }
  }
}
