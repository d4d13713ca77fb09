// Rotary embedding of heads, with the norm before it where there is one. Pairs of the first r components turn by the token's row of the
// table: r / 2 cosines, then r / 2 sines; a row out of range has cosines and sines of 0.
import { number, word } from "./command";
import { madd, sumLanes } from "./simd";

/**
 * Words: x, table, rows, y, tokens, heads, size of a head, rows of the table, r, tokens per tile, 1 where pairs are interleaved, 1 to turn
 * back.
 */
export function ropeTile(command: usize, tile: u32): void {
  const tokens = word(command, 4), heads = word(command, 5), size = word(command, 6);
  const perTile = word(command, 9);
  const first = tile * perTile;
  const last = min(tokens, first + perTile);
  const bytes = (heads * size) << 2;
  for (let token = first; token < last; token++) {
    const at = (token as usize) * bytes;
    turnHeads(
      word(command, 0) + at, word(command, 3) + at, heads, size, 0, 0, word(command, 1), load<i32>(word(command, 2) + (token << 2)),
      word(command, 7), word(command, 8), word(command, 10) != 0, word(command, 11) != 0,
    );
  }
}

/**
 * Numbers: eps. Words: qkv, weight of q or 0, weight of k or 0, table, rows, q, k, v, tokens, query heads, kv heads, size of a head, rows
 * of the table, r, tokens per tile, 1 where pairs are interleaved.
 */
export function qkNormRopeTile(command: usize, tile: u32): void {
  const tokens = word(command, 8), heads = word(command, 9), kvHeads = word(command, 10), size = word(command, 11);
  const table = word(command, 3) as usize, count = word(command, 12), turned = word(command, 13), interleaved = word(command, 15) != 0;
  const perTile = word(command, 14);
  const first = tile * perTile;
  const last = min(tokens, first + perTile);
  const eps = number(command, 0);
  const queryBytes = (heads * size) << 2, keyBytes = (kvHeads * size) << 2;
  for (let token = first; token < last; token++) {
    const from = (word(command, 0) as usize) + (token as usize) * (queryBytes + 2 * keyBytes);
    const row = load<i32>(word(command, 4) + (token << 2));
    const q = (word(command, 5) as usize) + (token as usize) * queryBytes;
    const k = (word(command, 6) as usize) + (token as usize) * keyBytes;
    turnHeads(from, q, heads, size, word(command, 1), eps, table, row, count, turned, interleaved, false);
    turnHeads(from + queryBytes, k, kvHeads, size, word(command, 2), eps, table, row, count, turned, interleaved, false);
    memory.copy((word(command, 7) as usize) + (token as usize) * keyBytes, from + queryBytes + keyBytes, keyBytes);
  }
}

/** The heads of one token. `weight`: address of the norm's weight, or 0 for no norm. */
function turnHeads(
  x: usize, y: usize, heads: u32, size: u32, weight: usize, eps: f64, table: usize, row: i32, count: u32, turned: u32,
  interleaved: bool, back: bool,
): void {
  const known = row >= 0 && (row as u32) < count;
  const half = turned >> 1;
  const bytes = (size as usize) << 2, turnedBytes = (turned as usize) << 2;
  for (let head: u32 = 0; head < heads; head++) {
    let from = x;
    if (weight != 0) {
      normRow(x, weight, y, size, eps);
      from = y;
    }
    if (!known) {
      zeroTurn(from, y, turned);
    } else if (interleaved) {
      turnNeighbours(from, y, table + row * turnedBytes, half, back);
    } else {
      turnHalves(from, y, table + row * turnedBytes, half, back);
    }
    if (weight == 0 && turnedBytes < bytes) memory.copy(y + turnedBytes, x + turnedBytes, bytes - turnedBytes);
    x += bytes;
    y += bytes;
  }
}

function normRow(x: usize, weight: usize, y: usize, size: u32, eps: f64): void {
  let s = f32x4.splat(0), t = s;
  let at = x;
  for (let i = size >> 3; i != 0; i--) {
    const a = v128.load(at), b = v128.load(at, 16);
    s = madd(a, a, s);
    t = madd(b, b, t);
    at += 32;
  }
  let sum = sumLanes(f32x4.add(s, t));
  for (let i = size & 7; i != 0; i--) {
    const a = load<f32>(at);
    sum += a * a;
    at += 4;
  }
  const scale = f32(1 / Math.sqrt(f64(sum) / f64(size) + eps));
  const scales = f32x4.splat(scale);
  for (let i = size >> 2; i != 0; i--) {
    v128.store(y, f32x4.mul(f32x4.mul(v128.load(x), scales), v128.load(weight)));
    x += 16;
    y += 16;
    weight += 16;
  }
  for (let i = size & 3; i != 0; i--) {
    store<f32>(y, load<f32>(x) * scale * load<f32>(weight));
    x += 4;
    y += 4;
    weight += 4;
  }
}

/** Components i and i + half turn together; y may be x. */
function turnHalves(x: usize, y: usize, cosines: usize, half: u32, back: bool): void {
  const gap = (half as usize) << 2;
  const sign: f32 = back ? -1 : 1;
  const signs = f32x4.splat(sign);
  const sines = cosines + gap;
  let at: usize = 0;
  for (let i = half >> 2; i != 0; i--) {
    const c = v128.load(cosines + at), s = f32x4.mul(v128.load(sines + at), signs);
    const p = v128.load(x + at), q = v128.load(x + at + gap);
    v128.store(y + at, f32x4.sub(f32x4.mul(p, c), f32x4.mul(q, s)));
    v128.store(y + at + gap, f32x4.add(f32x4.mul(q, c), f32x4.mul(p, s)));
    at += 16;
  }
  for (; at < gap; at += 4) {
    const c = load<f32>(cosines + at), s = load<f32>(sines + at) * sign;
    const p = load<f32>(x + at), q = load<f32>(x + at + gap);
    store<f32>(y + at, p * c - q * s);
    store<f32>(y + at + gap, q * c + p * s);
  }
}

/** Components 2 i and 2 i + 1 turn together; y may be x. */
function turnNeighbours(x: usize, y: usize, cosines: usize, half: u32, back: bool): void {
  const sign: f32 = back ? -1 : 1;
  const signs = f32x4.splat(sign);
  const end = cosines + ((half as usize) << 2);
  let sines = end;
  for (; cosines + 16 <= end; cosines += 16) {
    const c = v128.load(cosines), s = f32x4.mul(v128.load(sines), signs);
    const a = v128.load(x), b = v128.load(x, 16);
    const p = i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
    const q = i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    const u = f32x4.sub(f32x4.mul(p, c), f32x4.mul(q, s));
    const w = f32x4.add(f32x4.mul(q, c), f32x4.mul(p, s));
    v128.store(y, i8x16.shuffle(u, w, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23));
    v128.store(y, i8x16.shuffle(u, w, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31), 16);
    sines += 16;
    x += 32;
    y += 32;
  }
  for (; cosines < end; cosines += 4) {
    const c = load<f32>(cosines), s = load<f32>(sines) * sign;
    const p = load<f32>(x), q = load<f32>(x, 4);
    store<f32>(y, p * c - q * s);
    store<f32>(y, q * c + p * s, 4);
    sines += 4;
    x += 8;
    y += 8;
  }
}

/** The pairs by cosines and sines of 0: zeros, but for what is not finite. */
function zeroTurn(x: usize, y: usize, turned: u32): void {
  for (let i: u32 = 0; i < turned; i++) store<f32>(y + (i << 2), load<f32>(x + (i << 2)) * 0);
}
