// Softmax over rows: the maximum, the exponentials with their sum, and the division, each a pass over a row that is still in the cache.
import { word } from "./command";
import { storeLanes } from "./dot";
import { expDown4 } from "./math";
import { BLOCK, endOf, firstLanes, firstOf, maxOfRow } from "./rows";
import { sumLanes } from "./simd";

/** Words: rows, rows per tile, width, x, y. */
export function softmaxTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = (row * width) << 2;
    softmaxRow((word(command, 3) as usize) + at, (word(command, 4) as usize) + at, width);
  }
}

function softmaxRow(x: usize, y: usize, n: u32): void {
  const max = maxOfRow(x, n);
  let sum: f32 = 0;
  for (let from: u32 = 0; from < n; from += BLOCK) {
    sum += exponentials(x + (from << 2), y + (from << 2), min(BLOCK, n - from), max);
  }
  scaleRow(y, n, 1 / sum);
}

/** y = exp(x - max); returns the sum. */
export function exponentials(x: usize, y: usize, n: u32, max: f32): f32 {
  const top = f32x4.splat(max);
  let s0 = f32x4.splat(0), s1 = s0;
  for (let i = n >> 3; i != 0; i--) {
    const a = expDown4(f32x4.sub(v128.load(x), top)), b = expDown4(f32x4.sub(v128.load(x, 16), top));
    v128.store(y, a);
    v128.store(y, b, 16);
    s0 = f32x4.add(s0, a);
    s1 = f32x4.add(s1, b);
    x += 32;
    y += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    const e = expDown4(f32x4.sub(v128.load(x), top));
    storeLanes(y, e, left);
    s0 = f32x4.add(s0, v128.and(e, firstLanes(left)));
    x += 16;
    y += 16;
  }
  return sumLanes(f32x4.add(s0, s1));
}

function scaleRow(y: usize, left: u32, scale: f32): void {
  const factor = f32x4.splat(scale);
  while (left != 0) {
    const scaled = f32x4.mul(v128.load(y), factor);
    if (left < 4) {
      storeLanes(y, scaled, left);
      break;
    }
    v128.store(y, scaled);
    y += 16;
    left -= 4;
  }
}
