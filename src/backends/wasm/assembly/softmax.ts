// Softmax over rows: the maximum, the exponentials with their sum, and the division, each a pass over a row that is still in the cache.
import { word } from "./command";
import { storeLanes } from "./dot";
import { expDown4 } from "./math";
import { endOf, firstLanes, firstOf, maxOfRow } from "./rows";
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
  const sum = exponentials(x, y, n, maxOfRow(x, n));
  scaleRow(y, n, 1 / sum);
}

/** y = exp(x - max); returns the sum. */
function exponentials(x: usize, y: usize, left: u32, max: f32): f32 {
  const top = f32x4.splat(max);
  let sum = f32x4.splat(0);
  while (left != 0) {
    const e = expDown4(f32x4.sub(v128.load(x), top));
    if (left < 4) {
      sum = f32x4.add(sum, v128.and(e, firstLanes(left)));
      storeLanes(y, e, left);
      break;
    }
    sum = f32x4.add(sum, e);
    v128.store(y, e);
    x += 16;
    y += 16;
    left -= 4;
  }
  return sumLanes(sum);
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
