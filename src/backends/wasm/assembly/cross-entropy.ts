// Cross-entropy of rows of logits, and its gradient. A row comes from memory once: its maximum and the sum of exponentials grow together,
// by blocks that are still in the cache when their exponentials are taken.
import { word } from "./command";
import { storeLanes } from "./dot";
import { expDown4, expOf, logWide } from "./math";
import { BLOCK, endOf, firstLanes, firstOf, maxOfRow } from "./rows";
import { sumLanes } from "./simd";

/** Words: rows, rows per tile, width, logits, targets, loss. */
export function crossEntropyTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const target = load<u32>((word(command, 4) as usize) + (row << 2)); // a negative one is above any width
    let loss: f32 = 0;
    if (target < width) {
      const x = (word(command, 3) as usize) + ((row * width) << 2);
      const state = maxAndSum(x, width);
      const max = f64(f32x4.extract_lane(state, 0)), sum = f64(f32x4.extract_lane(state, 1));
      loss = f32(max + logWide(sum) - f64(load<f32>(x + (target << 2))));
    }
    store<f32>((word(command, 5) as usize) + (row << 2), loss);
  }
}

/** Words: rows, rows per tile, width, logits, targets, dLoss, dLogits. */
export function crossEntropyGradTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = (row * width) << 2;
    const x = (word(command, 3) as usize) + at, y = (word(command, 6) as usize) + at;
    const target = load<u32>((word(command, 4) as usize) + (row << 2));
    if (target >= width) {
      memory.fill(y, 0, (width as usize) << 2);
      continue;
    }
    const dLoss = load<f32>((word(command, 5) as usize) + (row << 2));
    const state = maxAndSum(x, width);
    const max = f32x4.extract_lane(state, 0), sum = f32x4.extract_lane(state, 1);
    scaledExps(x, y, width, max, dLoss / sum);
    const there = (target as usize) << 2;
    store<f32>(y + there, dLoss * (expOf(load<f32>(x + there) - max) / sum - 1));
  }
}

/** Lane 0: the maximum; lane 1: the sum of exp(x - maximum). */
function maxAndSum(x: usize, n: u32): v128 {
  let max: f32 = -Infinity, sum: f32 = 0;
  for (let from: u32 = 0; from < n; from += BLOCK) {
    const count = min(BLOCK, n - from);
    const at = x + (from << 2);
    const top = maxOfRow(at, count);
    if (top > max) {
      sum *= expOf(max - top);
      max = top;
    }
    // While all is -infinity, exponentials are taken as they are: 0.
    sum += sumOfExps(at, count, max == -Infinity ? 0 : max);
  }
  return f32x4(max, sum, 0, 0);
}

function sumOfExps(x: usize, n: u32, max: f32): f32 {
  const top = f32x4.splat(max);
  let s0 = f32x4.splat(0), s1 = s0;
  for (let i = n >> 3; i != 0; i--) {
    s0 = f32x4.add(s0, expDown4(f32x4.sub(v128.load(x), top)));
    s1 = f32x4.add(s1, expDown4(f32x4.sub(v128.load(x, 16), top)));
    x += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    s0 = f32x4.add(s0, v128.and(expDown4(f32x4.sub(v128.load(x), top)), firstLanes(left)));
    x += 16;
  }
  return sumLanes(f32x4.add(s0, s1));
}

/** y = exp(x - max) * scale */
function scaledExps(x: usize, y: usize, n: u32, max: f32, scale: f32): void {
  const top = f32x4.splat(max), factor = f32x4.splat(scale);
  for (let i = n >> 3; i != 0; i--) {
    const a = f32x4.mul(expDown4(f32x4.sub(v128.load(x), top)), factor);
    const b = f32x4.mul(expDown4(f32x4.sub(v128.load(x, 16), top)), factor);
    v128.store(y, a);
    v128.store(y, b, 16);
    x += 32;
    y += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    storeLanes(y, f32x4.mul(expDown4(f32x4.sub(v128.load(x), top)), factor), left);
    x += 16;
    y += 16;
  }
}
