// Sums and extremes over one axis of [outer, n, inner]. A least one is a greatest one of numbers turned upside down: `flip` is what is
// xored to turn them, the sign of f32 or all bits of an integer, or 0.
import { F32, I32 } from "../codes";
import { word } from "./command";
import { storePart } from "./move";
import { sumLanes } from "./simd";

/**
 * Words: x, y; items, items per tile; n, numbers per part, parts; sum or extreme, type, flip. An item is a part of a line of x; each gives
 * one number.
 */
export function reduceRowsTile(command: usize, tile: u32): void {
  const perTile = word(command, 3), n = word(command, 4), length = word(command, 5), parts = word(command, 6);
  const sum = word(command, 7) == 0, type = word(command, 8), flip = word(command, 9);
  const last = min(word(command, 2), (tile + 1) * perTile);
  let y = (word(command, 1) as usize) + ((tile * perTile) << 2);
  for (let item = tile * perTile; item < last; item++) {
    const line = item / parts;
    const from = (item - line * parts) * length;
    const x = (word(command, 0) as usize) + (((line as usize) * n + from) << 2);
    const count = min(length, n - from);
    if (sum) {
      if (type == F32) store<f32>(y, sumLine<f32>(x, count));
      else store<i32>(y, sumLine<i32>(x, count));
    } else if (type == F32) {
      store<f32>(y, greatestOfLine<f32>(x, count, flip));
    } else if (type == I32) {
      store<i32>(y, greatestOfLine<i32>(x, count, flip));
    } else {
      store<u32>(y, greatestOfLine<u32>(x, count, flip));
    }
    y += 4;
  }
}

/** Ones in the first `count` lanes. */
function firstLanes(count: u32): v128 {
  return i32x4.lt_u(i32x4(0, 1, 2, 3), i32x4.splat(count));
}

function sumLine<T>(x: usize, n: u32): T {
  let a = i32x4.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
  for (let blocks = n >> 5; blocks != 0; blocks--) {
    a = v128.add<T>(a, v128.load(x));
    b = v128.add<T>(b, v128.load(x, 16));
    c = v128.add<T>(c, v128.load(x, 32));
    d = v128.add<T>(d, v128.load(x, 48));
    e = v128.add<T>(e, v128.load(x, 64));
    f = v128.add<T>(f, v128.load(x, 80));
    g = v128.add<T>(g, v128.load(x, 96));
    h = v128.add<T>(h, v128.load(x, 112));
    x += 128;
  }
  if (n >= 32) {
    a = v128.add<T>(v128.add<T>(a, b), v128.add<T>(c, d));
    b = v128.add<T>(v128.add<T>(e, f), v128.add<T>(g, h));
  }
  for (let quads = (n >> 2) & 7; quads != 0; quads--) {
    a = v128.add<T>(a, v128.load(x));
    x += 16;
  }
  if (n & 3) b = v128.add<T>(b, v128.and(v128.load(x), firstLanes(n & 3)));
  a = v128.add<T>(a, b);
  if (isFloat<T>()) return sumLanes(a) as T;
  const pairs = i32x4.add(a, i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return (i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)) as T;
}

/** What every number of the type is at least as great as. */
function least<T>(): v128 {
  if (isFloat<T>()) return f32x4.splat(-Infinity);
  return isSigned<T>() ? i32x4.splat(i32.MIN_VALUE) : i32x4.splat(0);
}

/** The greater of two where neither is NaN: a single instruction, which f32x4.max is not on x86. */
function greater<T>(a: v128, b: v128): v128 {
  return isFloat<T>() ? f32x4.pmax(a, b) : v128.max<T>(a, b);
}

/** All bits, which are a NaN, where a number is NaN. */
function isNaN4<T>(x: v128): v128 {
  return isFloat<T>() ? f32x4.ne(x, x) : i32x4.splat(0);
}

function greatestOfLine<T>(x: usize, n: u32, flip: u32): T {
  const turn = i32x4.splat(flip);
  let a = least<T>(), b = a, c = a, d = a;
  let nan = i32x4.splat(0), other = nan;
  for (let blocks = n >> 4; blocks != 0; blocks--) {
    const p = v128.load(x), q = v128.load(x, 16), r = v128.load(x, 32), s = v128.load(x, 48);
    a = greater<T>(a, v128.xor(p, turn));
    b = greater<T>(b, v128.xor(q, turn));
    c = greater<T>(c, v128.xor(r, turn));
    d = greater<T>(d, v128.xor(s, turn));
    nan = v128.or(nan, v128.or(isNaN4<T>(p), isNaN4<T>(q)));
    other = v128.or(other, v128.or(isNaN4<T>(r), isNaN4<T>(s)));
    x += 64;
  }
  for (let quads = (n >> 2) & 3; quads != 0; quads--) {
    a = v128.max<T>(a, v128.xor(v128.load(x), turn));
    x += 16;
  }
  if (n & 3) b = v128.max<T>(b, v128.bitselect(v128.xor(v128.load(x), turn), least<T>(), firstLanes(n & 3)));
  a = v128.or(v128.max<T>(v128.max<T>(a, b), v128.max<T>(c, d)), v128.or(nan, other));
  a = v128.max<T>(a, i8x16.shuffle(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  a = v128.max<T>(a, i8x16.shuffle(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  return v128.extract_lane<T>(v128.xor(a, turn), 0);
}

/**
 * Words: x, y; items, items per tile; n, rows per part, parts; sum or extreme, type, flip; inner, columns of a block, blocks. An item is a
 * block of columns of a part of the rows of one of the outer; each part gives a row.
 */
export function reduceColumnsTile(command: usize, tile: u32): void {
  const perTile = word(command, 3), n = word(command, 4), length = word(command, 5), parts = word(command, 6);
  const sum = word(command, 7) == 0, type = word(command, 8), flip = word(command, 9);
  const inner = word(command, 10), width = word(command, 11), blocks = word(command, 12);
  const rowBytes = (inner as usize) << 2;
  const last = min(word(command, 2), (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const row = item / blocks; // of y, with its parts
    const column = (item - row * blocks) * width;
    const outer = row / parts;
    const from = (row - outer * parts) * length;
    const x = (word(command, 0) as usize) + ((outer as usize) * n + from) * rowBytes + (column << 2);
    const y = (word(command, 1) as usize) + row * rowBytes + (column << 2);
    const columns = min(width, inner - column);
    const rows = min(length, n - from);
    if (sum) {
      if (type == F32) sumRows<f32>(x, rowBytes, rows, y, columns);
      else sumRows<i32>(x, rowBytes, rows, y, columns);
    } else if (type == F32) {
      greatestOfRows<f32>(x, rowBytes, rows, y, columns, flip);
    } else if (type == I32) {
      greatestOfRows<i32>(x, rowBytes, rows, y, columns, flip);
    } else {
      greatestOfRows<u32>(x, rowBytes, rows, y, columns, flip);
    }
  }
}

/** Rows four at a time, the sums so far in y; a missing fourth row repeats the third, and is masked away. */
function sumRows<T>(x: usize, rowBytes: usize, rows: u32, y: usize, columns: u32): void {
  for (let row: u32 = 0; row < rows; row += 4) {
    const left = rows - row;
    const x1 = left > 1 ? x + rowBytes : x, x2 = left > 2 ? x1 + rowBytes : x1, x3 = left > 3 ? x2 + rowBytes : x2;
    const old = i32x4.splat(row != 0 ? -1 : 0);
    const in1 = i32x4.splat(left > 1 ? -1 : 0), in2 = i32x4.splat(left > 2 ? -1 : 0), in3 = i32x4.splat(left > 3 ? -1 : 0);
    const end = (columns & ~3) << 2;
    let i: usize = 0;
    for (; i < end; i += 16) {
      const a = v128.add<T>(v128.load(x + i), v128.and(v128.load(x1 + i), in1));
      const b = v128.add<T>(v128.and(v128.load(x2 + i), in2), v128.and(v128.load(x3 + i), in3));
      v128.store(y + i, v128.add<T>(v128.and(v128.load(y + i), old), v128.add<T>(a, b)));
    }
    if (columns & 3) {
      const a = v128.add<T>(v128.load(x + i), v128.and(v128.load(x1 + i), in1));
      const b = v128.add<T>(v128.and(v128.load(x2 + i), in2), v128.and(v128.load(x3 + i), in3));
      storePart(y + i, v128.add<T>(v128.and(v128.load(y + i), old), v128.add<T>(a, b)), columns & 3);
    }
    x += 4 * rowBytes;
  }
}

/** Rows four at a time; a missing row repeats the one before, which changes no extreme. y holds what was found so far. */
function greatestOfRows<T>(x: usize, rowBytes: usize, rows: u32, y: usize, columns: u32, flip: u32): void {
  const turn = i32x4.splat(flip);
  for (let row: u32 = 0; row < rows; row += 4) {
    const left = rows - row;
    const x1 = left > 1 ? x + rowBytes : x, x2 = left > 2 ? x1 + rowBytes : x1, x3 = left > 3 ? x2 + rowBytes : x2;
    const old = row != 0 ? y : x;
    const end = (columns & ~3) << 2;
    let i: usize = 0;
    for (; i < end; i += 16) v128.store(y + i, greatestOfFive<T>(x + i, x1 + i, x2 + i, x3 + i, old + i, turn));
    storePart(y + i, greatestOfFive<T>(x + i, x1 + i, x2 + i, x3 + i, old + i, turn), columns & 3);
    x += 4 * rowBytes;
  }
}

function greatestOfFive<T>(x0: usize, x1: usize, x2: usize, x3: usize, old: usize, turn: v128): v128 {
  const a = v128.load(x0), b = v128.load(x1), c = v128.load(x2), d = v128.load(x3), e = v128.load(old);
  const ab = greater<T>(v128.xor(a, turn), v128.xor(b, turn)), cd = greater<T>(v128.xor(c, turn), v128.xor(d, turn));
  const all = greater<T>(v128.xor(e, turn), greater<T>(ab, cd));
  const nan = v128.or(v128.or(isNaN4<T>(a), isNaN4<T>(b)), v128.or(isNaN4<T>(c), isNaN4<T>(d)));
  return v128.or(v128.xor(all, turn), v128.or(nan, isNaN4<T>(e)));
}
