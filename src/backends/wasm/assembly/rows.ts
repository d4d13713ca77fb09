// What the kernels of rows and of elements share: which of them a tile takes, and sums and maxima over one row.
import { word } from "./command";
import { madd, sumLanes } from "./simd";

// Every command over rows, or over single elements, begins with the words: how many there are, and how many a tile takes.

/** The first row of a tile. */
export function firstOf(command: usize, tile: u32): u32 {
  return tile * word(command, 1);
}

/** The row after a tile's last. */
export function endOf(command: usize, tile: u32): u32 {
  const rows = word(command, 0), perTile = word(command, 1);
  return tile * perTile + min(perTile, rows - tile * perTile);
}

/** All bits in the first `count` lanes. */
export function firstLanes(count: u32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(min(count, 4)));
}

/** The largest lane; NaN in lanes other than the first does not count. */
export function maxLanes(x: v128): f32 {
  const pairs = f32x4.pmax(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const a = f32x4.extract_lane(pairs, 0), b = f32x4.extract_lane(pairs, 1);
  return a < b ? b : a;
}

/** The largest of n numbers, -infinity of none; NaN does not count. */
export function maxOfRow(x: usize, n: u32): f32 {
  let m0 = f32x4.splat(-Infinity), m1 = m0, m2 = m0, m3 = m0;
  for (let i = n >> 4; i != 0; i--) {
    m0 = f32x4.pmax(m0, v128.load(x));
    m1 = f32x4.pmax(m1, v128.load(x, 16));
    m2 = f32x4.pmax(m2, v128.load(x, 32));
    m3 = f32x4.pmax(m3, v128.load(x, 48));
    x += 64;
  }
  for (let i = (n >> 2) & 3; i != 0; i--) {
    m0 = f32x4.pmax(m0, v128.load(x));
    x += 16;
  }
  if (n & 3) m1 = f32x4.pmax(m1, v128.bitselect(v128.load(x), f32x4.splat(-Infinity), firstLanes(n & 3)));
  return maxLanes(f32x4.pmax(f32x4.pmax(m0, m1), f32x4.pmax(m2, m3)));
}

/** The sum of the squares of n numbers. */
export function squaresOfRow(x: usize, n: u32): f32 {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let i = n >> 4; i != 0; i--) {
    const a = v128.load(x), b = v128.load(x, 16), c = v128.load(x, 32), d = v128.load(x, 48);
    s0 = madd(a, a, s0);
    s1 = madd(b, b, s1);
    s2 = madd(c, c, s2);
    s3 = madd(d, d, s3);
    x += 64;
  }
  for (let i = (n >> 2) & 3; i != 0; i--) {
    const a = v128.load(x);
    s0 = madd(a, a, s0);
    x += 16;
  }
  if (n & 3) {
    const a = v128.and(v128.load(x), firstLanes(n & 3));
    s1 = madd(a, a, s1);
  }
  return sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
// Rows by index: taken from a table, plain or packed, and put or added into one. An index that is no row is as good as none.
import { F32 } from "../codes";
import { addRun } from "./binary";
import { copyWords, fillWords } from "./move";
import { decodeQ8Row } from "./packed";
/** Words: table, its rows, indices, how many, y, words of a row; indices and columns per tile, tiles across. */
export function gatherTile(command: usize, tile: u32): void {
  const table = word(command, 0) as usize, tableRows = word(command, 1), count = word(command, 3), width = word(command, 5);
  const perTile = word(command, 6), columns = word(command, 7), across = word(command, 8);
  const down = tile / across;
  const column = (tile - down * across) * columns;
  const n = min(columns, width - column);
  const rowBytes = (width as usize) << 2;
  let y = (word(command, 4) as usize) + down * perTile * rowBytes + (column << 2);
  let index = (word(command, 2) as usize) + ((down * perTile) << 2);
  for (let left = min(perTile, count - down * perTile); left != 0; left--) {
    const row = load<u32>(index);
    if (row < tableRows) copyWords(y, table + row * rowBytes + (column << 2), n);
    else fillWords(y, 0, n);
    y += rowBytes;
    index += 4;
/**
 * A row of the table may be several packed rows. Words: codes, scales, rows of the table, indices or 0 for all rows in order, how many, y;
 * packed rows in a row of the table, numbers in a packed row; words of codes and of scales in it; packed rows per tile.
 */
export function gatherPackedTile(command: usize, tile: u32): void {
  const tableRows = word(command, 2), indices = word(command, 3) as usize;
  const pieces = word(command, 6), width = word(command, 7), perTile = word(command, 10);
  const codeBytes = (word(command, 8) as usize) << 2, scaleBytes = (word(command, 9) as usize) << 2;
  const first = tile * perTile;
  const last = min(word(command, 4) * pieces, first + perTile);
  let y = (word(command, 5) as usize) + first * rowBytes;
  for (let item = first; item < last; item++) {
    const slot = item / pieces;
    const row = indices != 0 ? load<u32>(indices + (slot << 2)) : slot;
    if (row < tableRows) {
      const packed = row * pieces + (item - slot * pieces);
      decodeQ8Row((word(command, 0) as usize) + packed * codeBytes, (word(command, 1) as usize) + packed * scaleBytes, y, width);
    } else {
      fillWords(y, 0, width);
    }
 * A tile owns columns of the target and takes the rows of x in order, so the last of equal ones stays and sums have one order.
 * Words: target, its rows, indices, how many, x, words of a row, columns per tile; whether to add, type.
export function scatterTile(command: usize, tile: u32): void {
  const target = word(command, 0) as usize, targetRows = word(command, 1), width = word(command, 5), columns = word(command, 6);
  const add = word(command, 7) != 0, float = word(command, 8) == F32;
  const column = tile * columns;
  let x = (word(command, 4) as usize) + (column << 2);
  let index = word(command, 2) as usize;
  for (let left = word(command, 3); left != 0; left--) {
    if (row < targetRows) {
      const to = target + row * rowBytes + (column << 2);
      if (!add) copyWords(to, x, n);
      else if (float) addRun<f32>(to, to, 16, x, 16, n);
      else addRun<i32>(to, to, 16, x, 16, n);
    x += rowBytes;
}
