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

/**
 * Long rows are summed by blocks of so many numbers, 8 KiB: sums of a few hundred per lane lose less than one over the whole row, and a
 * block stays in the cache between two passes over it.
 */
export const BLOCK: u32 = 2048;

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
}
