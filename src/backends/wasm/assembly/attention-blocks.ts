// The products of attention. Eight rows that a tile owns are the lanes of a panel [size][8]; rows of the other side stream by, wherever
// they lie, by lists of their addresses, and nothing of them is copied or packed.
import { madd } from "./simd";

/** Rows of a panel, and bytes of eight numbers. */
export const LANES: u32 = 8;
const EIGHT: usize = 32;

/** Sizes rounded up, so that panels may be written four numbers at a time. */
export function roundedUp(size: u32): u32 {
  return (size + 3) & ~3;
}

/** A panel of the rows at eight addresses, times `scale`. */
export function packLanes(list: usize, size: u32, scale: f32, to: usize): void {
  packFour(list, size, scale, to);
  packFour(list + 16, size, scale, to + 16);
}

function packFour(list: usize, size: u32, scale: f32, to: usize): void {
  let r0 = load<u32>(list) as usize, r1 = load<u32>(list, 4) as usize, r2 = load<u32>(list, 8) as usize, r3 = load<u32>(list, 12) as usize;
  const scales = f32x4.splat(scale);
  for (let i = size >> 2; i != 0; i--) {
    const a = f32x4.mul(v128.load(r0), scales), b = f32x4.mul(v128.load(r1), scales);
    const c = f32x4.mul(v128.load(r2), scales), d = f32x4.mul(v128.load(r3), scales);
    storeTransposed(a, b, c, d, to, to + EIGHT, to + 2 * EIGHT, to + 3 * EIGHT);
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    to += 4 * EIGHT;
  }
  for (let i = size & 3; i != 0; i--) {
    v128.store(to, f32x4.mul(f32x4(load<f32>(r0), load<f32>(r1), load<f32>(r2), load<f32>(r3)), scales));
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    to += EIGHT;
  }
}

/** The last address is written first. */
function storeTransposed(a: v128, b: v128, c: v128, d: v128, to0: usize, to1: usize, to2: usize, to3: usize): void {
  const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(to3, i8x16.shuffle(ab1, cd1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
  v128.store(to2, i8x16.shuffle(ab1, cd1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(to1, i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
  v128.store(to0, i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
}

/** out[j][8] = products of the j-th row of the list with the panel's rows; up to 3 rows more of `out` are written. */
export function scoreRows(list: usize, count: u32, panel: usize, size: u32, out: usize): void {
  const last = count - 1;
  for (let j: u32 = 0; j < count; j += 4) {
    const r0 = load<u32>(list + (j << 2)) as usize;
    const r1 = load<u32>(list + (min(j + 1, last) << 2)) as usize;
    const r2 = load<u32>(list + (min(j + 2, last) << 2)) as usize;
    const r3 = load<u32>(list + (min(j + 3, last) << 2)) as usize;
    scoreFour(r0, r1, r2, r3, panel, size, out + (j << 5));
  }
}

function scoreFour(r0: usize, r1: usize, r2: usize, r3: usize, panel: usize, size: u32, out: usize): void {
  let c00 = f32x4.splat(0), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00, c30 = c00, c31 = c00;
  for (let pairs = size >> 1; pairs != 0; pairs--) {
    let b0 = v128.load(panel), b1 = v128.load(panel, 16);
    let a = v128.load_splat<f32>(r0);
    c00 = madd(a, b0, c00);
    c01 = madd(a, b1, c01);
    a = v128.load_splat<f32>(r1);
    c10 = madd(a, b0, c10);
    c11 = madd(a, b1, c11);
    a = v128.load_splat<f32>(r2);
    c20 = madd(a, b0, c20);
    c21 = madd(a, b1, c21);
    a = v128.load_splat<f32>(r3);
    c30 = madd(a, b0, c30);
    c31 = madd(a, b1, c31);
    b0 = v128.load(panel, 32);
    b1 = v128.load(panel, 48);
    a = v128.load_splat<f32>(r0, 4);
    c00 = madd(a, b0, c00);
    c01 = madd(a, b1, c01);
    a = v128.load_splat<f32>(r1, 4);
    c10 = madd(a, b0, c10);
    c11 = madd(a, b1, c11);
    a = v128.load_splat<f32>(r2, 4);
    c20 = madd(a, b0, c20);
    c21 = madd(a, b1, c21);
    a = v128.load_splat<f32>(r3, 4);
    c30 = madd(a, b0, c30);
    c31 = madd(a, b1, c31);
    r0 += 8;
    r1 += 8;
    r2 += 8;
    r3 += 8;
    panel += 64;
  }
  if (size & 1) {
    const b0 = v128.load(panel), b1 = v128.load(panel, 16);
    const a0 = v128.load_splat<f32>(r0), a1 = v128.load_splat<f32>(r1), a2 = v128.load_splat<f32>(r2), a3 = v128.load_splat<f32>(r3);
    c00 = madd(a0, b0, c00);
    c01 = madd(a0, b1, c01);
    c10 = madd(a1, b0, c10);
    c11 = madd(a1, b1, c11);
    c20 = madd(a2, b0, c20);
    c21 = madd(a2, b1, c21);
    c30 = madd(a3, b0, c30);
    c31 = madd(a3, b1, c31);
  }
  v128.store(out, c00);
  v128.store(out, c01, 16);
  v128.store(out, c10, 32);
  v128.store(out, c11, 48);
  v128.store(out, c20, 64);
  v128.store(out, c21, 80);
  v128.store(out, c30, 96);
  v128.store(out, c31, 112);
}

/** sums[size][8] = sums * (f, g) + sum over the list's rows of row * p[j][8]. With `odd`, a row does not count where its factor is 0. */
export function addRows(list: usize, count: u32, p: usize, size: u32, sums: usize, f: v128, g: v128, odd: bool): void {
  const end = list + (count << 2);
  if (odd) {
    for (let i: u32 = 0; i < size; i++) addNumber(list, end, (i as usize) << 2, p, sums + (i << 5), f, g);
    return;
  }
  for (let i: u32 = 0; i < size; i += 4) addColumns(list, end, (i as usize) << 2, p, sums + (i << 5), f, g);
}

function addColumns(list: usize, end: usize, offset: usize, p: usize, sums: usize, f: v128, g: v128): void {
  let c00 = f32x4.mul(v128.load(sums), f), c01 = f32x4.mul(v128.load(sums, 16), g);
  let c10 = f32x4.mul(v128.load(sums, 32), f), c11 = f32x4.mul(v128.load(sums, 48), g);
  let c20 = f32x4.mul(v128.load(sums, 64), f), c21 = f32x4.mul(v128.load(sums, 80), g);
  let c30 = f32x4.mul(v128.load(sums, 96), f), c31 = f32x4.mul(v128.load(sums, 112), g);
  for (; list < end; list += 4) {
    const row = (load<u32>(list) as usize) + offset;
    const b0 = v128.load(p), b1 = v128.load(p, 16);
    let a = v128.load_splat<f32>(row);
    c00 = madd(a, b0, c00);
    c01 = madd(a, b1, c01);
    a = v128.load_splat<f32>(row, 4);
    c10 = madd(a, b0, c10);
    c11 = madd(a, b1, c11);
    a = v128.load_splat<f32>(row, 8);
    c20 = madd(a, b0, c20);
    c21 = madd(a, b1, c21);
    a = v128.load_splat<f32>(row, 12);
    c30 = madd(a, b0, c30);
    c31 = madd(a, b1, c31);
    p += EIGHT;
  }
  v128.store(sums, c00);
  v128.store(sums, c01, 16);
  v128.store(sums, c10, 32);
  v128.store(sums, c11, 48);
  v128.store(sums, c20, 64);
  v128.store(sums, c21, 80);
  v128.store(sums, c30, 96);
  v128.store(sums, c31, 112);
}

function addNumber(list: usize, end: usize, offset: usize, p: usize, sums: usize, f: v128, g: v128): void {
  const zero = f32x4.splat(0);
  let left = f32x4.mul(v128.load(sums), f), right = f32x4.mul(v128.load(sums, 16), g);
  for (; list < end; list += 4) {
    const x = v128.load_splat<f32>((load<u32>(list) as usize) + offset);
    const b0 = v128.load(p), b1 = v128.load(p, 16);
    left = f32x4.add(left, v128.and(f32x4.mul(x, b0), f32x4.ne(b0, zero)));
    right = f32x4.add(right, v128.and(f32x4.mul(x, b1), f32x4.ne(b1, zero)));
    p += EIGHT;
  }
  v128.store(sums, left);
  v128.store(sums, right, 16);
}

/** Whether one of the list's rows holds a number that is not finite. */
export function anyOdd(list: usize, count: u32, size: u32): bool {
  const zero = f32x4.splat(0);
  for (const end = list + (count << 2); list < end; list += 4) {
    let at = load<u32>(list) as usize;
    let sum = zero;
    for (let i = size >> 2; i != 0; i--) {
      sum = f32x4.add(sum, f32x4.mul(v128.load(at), zero));
      at += 16;
    }
    let rest: f32 = 0;
    for (let i = size & 3; i != 0; i--) {
      rest += load<f32>(at) * 0;
      at += 4;
    }
    if (v128.any_true(f32x4.ne(sum, zero)) || rest != 0) return true;
  }
  return false;
}

/** Writes the first `count` rows of a panel to the addresses of a list, times (f, g); those whose lane of (keep, hold) is 0 are zeros. */
export function storeLanes(sums: usize, size: u32, list: usize, count: u32, f: v128, g: v128, keep: v128, hold: v128): void {
  storeFour(sums, size, list, count, f, keep);
  if (count > 4) storeFour(sums + 16, size, list + 16, count - 4, g, hold);
}

function storeFour(sums: usize, size: u32, list: usize, count: u32, f: v128, keep: v128): void {
  const left: usize = (size & 3) << 2;
  const end = sums + ((size & ~3) << 5);
  const r0 = load<u32>(list) as usize;
  // Rows that are not wanted are written first, into the place of a wanted one.
  const r1 = count > 1 ? (load<u32>(list, 4) as usize) : r0;
  const r2 = count > 2 ? (load<u32>(list, 8) as usize) : r0;
  const r3 = count > 3 ? (load<u32>(list, 12) as usize) : r0;
  let at: usize = 0;
  for (; sums < end; sums += 4 * EIGHT) {
    const a = kept(v128.load(sums), f, keep), b = kept(v128.load(sums, 32), f, keep);
    const c = kept(v128.load(sums, 64), f, keep), d = kept(v128.load(sums, 96), f, keep);
    storeTransposed(a, b, c, d, r0 + at, r1 + at, r2 + at, r3 + at);
    at += 16;
  }
  for (const rest = at + left; at < rest; at += 4) {
    const a = kept(v128.load(sums), f, keep);
    store<f32>(r3 + at, f32x4.extract_lane(a, 3));
    store<f32>(r2 + at, f32x4.extract_lane(a, 2));
    store<f32>(r1 + at, f32x4.extract_lane(a, 1));
    store<f32>(r0 + at, f32x4.extract_lane(a, 0));
    sums += EIGHT;
  }
}

function kept(x: v128, factor: v128, keep: v128): v128 {
  return v128.and(f32x4.mul(x, factor), keep);
}
