// The products of attention where a tile has few query rows, as in decoding without groups: along the head, with a row of sums for each
// query.
import { dot2x4, dot4 } from "./dot";
import { madd } from "./simd";
import { roundedUp } from "./attention-blocks";

/** With more rows, panels of eight are faster. */
export const FEW: u32 = 4;

/**
 * Of each of the list's rows but `absent` ones reads one number per cache line of `size` numbers, `from` bytes on, and gives their sum, lest the
 * reads be left out. No processor foresees where rows lie, and reads that wait for nothing wait together.
 */
export function fetch(list: usize, count: u32, from: usize, size: u32, absent: usize): u32 {
  const bytes = (size as usize) << 2;
  let sum: u32 = 0;
  for (const end = list + (count << 2); list < end; list += 4) {
    const row = load<u32>(list) as usize;
    if (row == absent) continue;
    for (let at = from; at < from + bytes; at += 64) sum += load<u32>(row + at);
  }
  return sum;
}

/** out[j][row] = scale * key j . query row; 4 numbers at a time pass through `between`. Up to 3 rows more of `out` are written. */
export function scoreFew(list: usize, count: u32, queries: usize, rows: u32, size: u32, scale: f32, between: usize, out: usize): void {
  const last = count - 1;
  const scales = f32x4.splat(scale);
  for (let j: u32 = 0; j < count; j += 4) {
    const k0 = load<u32>(list + (j << 2)) as usize;
    const k1 = load<u32>(list + (min(j + 1, last) << 2)) as usize;
    const k2 = load<u32>(list + (min(j + 2, last) << 2)) as usize;
    const k3 = load<u32>(list + (min(j + 3, last) << 2)) as usize;
    const to = out + (j << 5);
    let row: u32 = 0;
    for (; row + 2 <= rows; row += 2) {
      const q0 = load<u32>(queries + (row << 2)) as usize, q1 = load<u32>(queries + (row << 2), 4) as usize;
      dot2x4(q0, q1 - q0, k0, k1, k2, k3, size, between, 16, 4);
      spread(to + (row << 2), f32x4.mul(v128.load(between), scales));
      spread(to + (row << 2) + 4, f32x4.mul(v128.load(between, 16), scales));
    }
    if (row < rows) spread(to + (row << 2), f32x4.mul(dot4(load<u32>(queries + (row << 2)), k0, k1, k2, k3, size), scales));
  }
}

/** One lane to each of four rows of scores. */
function spread(to: usize, x: v128): void {
  store<f32>(to, f32x4.extract_lane(x, 0));
  store<f32>(to, f32x4.extract_lane(x, 1), 32);
  store<f32>(to, f32x4.extract_lane(x, 2), 64);
  store<f32>(to, f32x4.extract_lane(x, 3), 96);
}

/** sums[row][size] = sums * factor + sum over the list's rows x of p[j][row] x. With `odd`, a row does not count where its weight is 0. */
export function addFew(list: usize, count: u32, p: usize, rows: u32, size: u32, sums: usize, factors: usize, odd: bool): void {
  const bytes = (roundedUp(size) as usize) << 2;
  for (let row: u32 = 0; row < rows; row++) rescale(sums + row * bytes, bytes, load<f32>(factors + (row << 2)));
  let j: u32 = 0;
  if (!odd) {
    for (; j + 4 <= count; j += 4) {
      const at = list + (j << 2), weights = p + (j << 5);
      let row: u32 = 0;
      for (; row + 2 <= rows; row += 2) addPair(at, weights + (row << 2), sums + row * bytes, bytes);
      if (row < rows) addOne(at, weights + (row << 2), sums + row * bytes, bytes);
    }
  }
  for (; j < count; j++) {
    for (let row: u32 = 0; row < rows; row++) {
      const weight = load<f32>(p + (j << 5) + (row << 2));
      if (weight != 0) addRow(load<u32>(list + (j << 2)), weight, sums + row * bytes, bytes);
    }
  }
}

function rescale(sums: usize, bytes: usize, factor: f32): void {
  if (factor == 1) return;
  const factors = f32x4.splat(factor);
  for (const end = sums + bytes; sums < end; sums += 16) v128.store(sums, f32x4.mul(v128.load(sums), factors));
}

/** Four rows into two neighbouring rows of sums. */
function addPair(list: usize, p: usize, sums: usize, bytes: usize): void {
  let v0 = load<u32>(list) as usize, v1 = load<u32>(list, 4) as usize, v2 = load<u32>(list, 8) as usize, v3 = load<u32>(list, 12) as usize;
  const a0 = v128.load_splat<f32>(p), a1 = v128.load_splat<f32>(p, 32), a2 = v128.load_splat<f32>(p, 64), a3 = v128.load_splat<f32>(p, 96);
  const b0 = v128.load_splat<f32>(p, 4), b1 = v128.load_splat<f32>(p, 36);
  const b2 = v128.load_splat<f32>(p, 68), b3 = v128.load_splat<f32>(p, 100);
  for (const end = sums + bytes; sums < end; sums += 16) {
    let x = v128.load(v0);
    let a = madd(x, a0, v128.load(sums)), b = madd(x, b0, v128.load(sums + bytes));
    x = v128.load(v1);
    a = madd(x, a1, a);
    b = madd(x, b1, b);
    x = v128.load(v2);
    a = madd(x, a2, a);
    b = madd(x, b2, b);
    x = v128.load(v3);
    v128.store(sums, madd(x, a3, a));
    v128.store(sums + bytes, madd(x, b3, b));
    v0 += 16;
    v1 += 16;
    v2 += 16;
    v3 += 16;
  }
}

/** Four rows into one row of sums. */
function addOne(list: usize, p: usize, sums: usize, bytes: usize): void {
  let v0 = load<u32>(list) as usize, v1 = load<u32>(list, 4) as usize, v2 = load<u32>(list, 8) as usize, v3 = load<u32>(list, 12) as usize;
  const a0 = v128.load_splat<f32>(p), a1 = v128.load_splat<f32>(p, 32), a2 = v128.load_splat<f32>(p, 64), a3 = v128.load_splat<f32>(p, 96);
  for (const end = sums + bytes; sums < end; sums += 16) {
    const left = madd(v128.load(v1), a1, f32x4.mul(v128.load(v0), a0));
    const right = madd(v128.load(v3), a3, madd(v128.load(v2), a2, v128.load(sums)));
    v128.store(sums, f32x4.add(left, right));
    v0 += 16;
    v1 += 16;
    v2 += 16;
    v3 += 16;
  }
}

function addRow(x: usize, weight: f32, sums: usize, bytes: usize): void {
  const weights = f32x4.splat(weight);
  for (const end = sums + bytes; sums < end; sums += 16) {
    v128.store(sums, madd(v128.load(x), weights, v128.load(sums)));
    x += 16;
  }
}
