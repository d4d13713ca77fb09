// Products of rows with rows, both along k: no packing, for few rows, where a weight is read once.
import { madd, sumLanes4 } from "./simd";

/** c[0..4) = rows b0..b3 times row a, over k. */
export function dot4(a: usize, b0: usize, b1: usize, b2: usize, b3: usize, k: u32): v128 {
  let s0 = f32x4.splat(0),
    s1 = s0,
    s2 = s0,
    s3 = s0;
  let t0 = s0,
    t1 = s0,
    t2 = s0,
    t3 = s0;
  for (let i = k >> 3; i != 0; i--) {
    const x = v128.load(a),
      y = v128.load(a, 16);
    s0 = madd(x, v128.load(b0), s0);
    s1 = madd(x, v128.load(b1), s1);
    s2 = madd(x, v128.load(b2), s2);
    s3 = madd(x, v128.load(b3), s3);
    t0 = madd(y, v128.load(b0, 16), t0);
    t1 = madd(y, v128.load(b1, 16), t1);
    t2 = madd(y, v128.load(b2, 16), t2);
    t3 = madd(y, v128.load(b3, 16), t3);
    a += 32;
    b0 += 32;
    b1 += 32;
    b2 += 32;
    b3 += 32;
  }
  if (k & 4) {
    const x = v128.load(a);
    s0 = madd(x, v128.load(b0), s0);
    s1 = madd(x, v128.load(b1), s1);
    s2 = madd(x, v128.load(b2), s2);
    s3 = madd(x, v128.load(b3), s3);
    a += 16;
    b0 += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  let sums = sumLanes4(f32x4.add(s0, t0), f32x4.add(s1, t1), f32x4.add(s2, t2), f32x4.add(s3, t3));
  for (let i = k & 3; i != 0; i--) {
    sums = madd(f32x4.splat(load<f32>(a)), f32x4(load<f32>(b0), load<f32>(b1), load<f32>(b2), load<f32>(b3)), sums);
    a += 4;
    b0 += 4;
    b1 += 4;
    b2 += 4;
    b3 += 4;
  }
  return sums;
}

/** Two rows a at `a` and `a + aRow` times four rows b, into c and c + cRow, the first `count` columns of them. */
export function dot2x4(
  a: usize,
  aRow: usize,
  b0: usize,
  b1: usize,
  b2: usize,
  b3: usize,
  k: u32,
  c: usize,
  cRow: usize,
  count: u32,
): void {
  let s0 = f32x4.splat(0),
    s1 = s0,
    s2 = s0,
    s3 = s0;
  let t0 = s0,
    t1 = s0,
    t2 = s0,
    t3 = s0;
  let d = a + aRow;
  for (let i = k >> 2; i != 0; i--) {
    const x = v128.load(a),
      y = v128.load(d);
    let w = v128.load(b0);
    s0 = madd(x, w, s0);
    t0 = madd(y, w, t0);
    w = v128.load(b1);
    s1 = madd(x, w, s1);
    t1 = madd(y, w, t1);
    w = v128.load(b2);
    s2 = madd(x, w, s2);
    t2 = madd(y, w, t2);
    w = v128.load(b3);
    s3 = madd(x, w, s3);
    t3 = madd(y, w, t3);
    a += 16;
    d += 16;
    b0 += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  let first = sumLanes4(s0, s1, s2, s3);
  let second = sumLanes4(t0, t1, t2, t3);
  for (let i = k & 3; i != 0; i--) {
    const w = f32x4(load<f32>(b0), load<f32>(b1), load<f32>(b2), load<f32>(b3));
    first = madd(f32x4.splat(load<f32>(a)), w, first);
    second = madd(f32x4.splat(load<f32>(d)), w, second);
    a += 4;
    d += 4;
    b0 += 4;
    b1 += 4;
    b2 += 4;
    b3 += 4;
  }
  storeLanes(c, first, count);
  storeLanes(c + cRow, second, count);
}

/** The first `count` lanes, 1 to 4. */
export function storeLanes(to: usize, x: v128, count: u32): void {
  if (count >= 4) {
    v128.store(to, x);
    return;
  }
  store<f32>(to, f32x4.extract_lane(x, 0));
  if (count > 1) store<f32>(to, f32x4.extract_lane(x, 1), 4);
  if (count > 2) store<f32>(to, f32x4.extract_lane(x, 2), 8);
}

/** The lanes, `apart` numbers from each other. */
export function storeApart(to: usize, x: v128, apart: u32): void {
  const bytes = (apart as usize) << 2;
  store<f32>(to, f32x4.extract_lane(x, 0));
  store<f32>(to + bytes, f32x4.extract_lane(x, 1));
  store<f32>(to + 2 * bytes, f32x4.extract_lane(x, 2));
  store<f32>(to + 3 * bytes, f32x4.extract_lane(x, 3));
}

/**
 * C[columns] = B times one row a, as dotRows has it. Each quarter of B is read from its beginning to its end: processors fetch ahead along one
 * line of addresses in a page, and four rows that lie together are none.
 */
export function dotRow(a: usize, b: usize, bRow: usize, columns: u32, k: u32, c: usize): void {
  const apart = columns >> 2, bytes = apart * bRow;
  for (let n: u32 = 0; n < apart; n++) {
    storeApart(c + (n << 2), dot4(a, b, b + bytes, b + 2 * bytes, b + 3 * bytes, k), apart);
    b += bRow;
  }
  dotRows(a, 0, 1, b + 3 * bytes, bRow, columns & 3, k, c + (apart << 4), 0);
}

/**
 * C[rows, columns] = A B^T for lines of A and B along k; strides in bytes. Columns four at a time, rows two at a time; a column beyond the last
 * repeats it and is not stored.
 */
export function dotRows(
  a: usize,
  aRow: usize,
  rows: u32,
  b: usize,
  bRow: usize,
  columns: u32,
  k: u32,
  c: usize,
  cRow: usize,
): void {
  for (let n: u32 = 0; n < columns; n += 4) {
    const left = columns - n;
    const b0 = b + n * bRow;
    const b1 = left > 1 ? b0 + bRow : b0;
    const b2 = left > 2 ? b1 + bRow : b1;
    const b3 = left > 3 ? b2 + bRow : b2;
    let m: u32 = 0;
    for (; m + 2 <= rows; m += 2) dot2x4(a + m * aRow, aRow, b0, b1, b2, b3, k, c + m * cRow + (n << 2), cRow, left);
    if (m < rows) storeLanes(c + m * cRow + (n << 2), dot4(a + m * aRow, b0, b1, b2, b3, k), left);
  }
}
