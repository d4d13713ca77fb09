// Running sums along one axis of [outer, n, inner]. `before`: each without its own number.
import { F32 } from "../codes";
import { addRun } from "./binary";
import { word } from "./command";
import { copyWords, fillWords, storePart } from "./move";

/**
 * Words: x, y; items, items per tile; n, numbers per part, parts; type, before; totals or 0. An item is a part of a line, scanned alone.
 */
export function scanRowsTile(command: usize, tile: u32): void {
  const perTile = word(command, 3), n = word(command, 4), length = word(command, 5), parts = word(command, 6);
  const float = word(command, 7) == F32, before = word(command, 8) != 0, totals = word(command, 9) as usize;
  const last = min(word(command, 2), (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const line = item / parts;
    const from = (item - line * parts) * length;
    const at = ((line as usize) * n + from) << 2;
    const x = (word(command, 0) as usize) + at, y = (word(command, 1) as usize) + at;
    const total = totals != 0 ? totals + (item << 2) : 0;
    if (float) scanLine<f32>(x, y, min(length, n - from), before, total);
    else scanLine<i32>(x, y, min(length, n - from), before, total);
  }
}

function scanLine<T>(x: usize, y: usize, n: u32, before: bool, total: usize): void {
  const none = i32x4.splat(0);
  let sum = none; // of all before, in each lane
  let quads = n >> 2;
  if (before) {
    for (; quads != 0; quads--) {
      const sums = v128.add<T>(sum, within<T>(v128.load(x)));
      v128.store(y, i8x16.shuffle(sum, sums, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
      sum = i8x16.shuffle(sums, sums, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
      x += 16;
      y += 16;
    }
  } else {
    for (; quads != 0; quads--) {
      const sums = v128.add<T>(sum, within<T>(v128.load(x)));
      v128.store(y, sums);
      sum = i8x16.shuffle(sums, sums, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15, 12, 13, 14, 15);
      x += 16;
      y += 16;
    }
  }
  const left = n & 3;
  const sums = v128.add<T>(sum, within<T>(v128.load(x)));
  storePart(y, before ? i8x16.shuffle(sum, sums, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27) : sums, left);
  if (total == 0) return;
  if (left == 0) v128.store32_lane(total, sum, 0);
  else if (left == 1) v128.store32_lane(total, sums, 0);
  else if (left == 2) v128.store32_lane(total, sums, 1);
  else v128.store32_lane(total, sums, 2);
}

/** The running sums inside a vector. */
function within<T>(x: v128): v128 {
  const none = i32x4.splat(0);
  x = v128.add<T>(x, i8x16.shuffle(none, x, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
  return v128.add<T>(x, i8x16.shuffle(none, x, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
}

/** Adds to each part the totals of those before it, in order. Words: y, totals; items, items per tile; n, numbers per part, parts; type. */
export function scanOffsetsTile(command: usize, tile: u32): void {
  const perTile = word(command, 3), n = word(command, 4), length = word(command, 5), parts = word(command, 6);
  const last = min(word(command, 2), (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const line = item / parts;
    const part = item - line * parts;
    const totals = (word(command, 1) as usize) + ((line * parts) << 2);
    const y = (word(command, 0) as usize) + (((line as usize) * n + part * length) << 2);
    if (word(command, 7) == F32) offsetPart<f32>(y, min(length, n - part * length), totals, part);
    else offsetPart<i32>(y, min(length, n - part * length), totals, part);
  }
}

function offsetPart<T>(y: usize, n: u32, totals: usize, part: u32): void {
  if (part == 0) return;
  let offset: T = 0 as T;
  for (let i: u32 = 0; i < part; i++) offset = (offset + load<T>(totals + (i << 2))) as T;
  const by = v128.splat<T>(offset);
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.add<T>(by, v128.load(y)));
    y += 16;
  }
  storePart(y, v128.add<T>(by, v128.load(y)), n & 3);
}

/**
 * Words: x, y; items, items per tile; n, inner; columns of a block, blocks; type, before. An item is a block of columns of one outer.
 */
export function scanColumnsTile(command: usize, tile: u32): void {
  const perTile = word(command, 3), n = word(command, 4), inner = word(command, 5), width = word(command, 6), blocks = word(command, 7);
  const float = word(command, 8) == F32, before = word(command, 9) != 0;
  const rowBytes = (inner as usize) << 2;
  const last = min(word(command, 2), (tile + 1) * perTile);
  for (let item = tile * perTile; item < last; item++) {
    const outer = item / blocks;
    const column = (item - outer * blocks) * width;
    const columns = min(width, inner - column);
    const at = (outer as usize) * n * rowBytes + (column << 2);
    let x = (word(command, 0) as usize) + at, y = (word(command, 1) as usize) + at;
    if (before) {
      fillWords(y, 0, columns);
    } else {
      copyWords(y, x, columns);
      x += rowBytes;
    }
    for (let row: u32 = 1; row < n; row++) {
      y += rowBytes;
      if (float) addRun<f32>(y, y - rowBytes, 16, x, 16, columns);
      else addRun<i32>(y, y - rowBytes, 16, x, 16, columns);
      x += rowBytes;
    }
  }
}
