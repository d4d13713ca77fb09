// One step of AdamW in one pass: four arrays are read, three written.
import { single, word } from "./command";
import { storeLanes } from "./dot";
import { endOf, firstOf } from "./rows";
import { madd } from "./simd";

/**
 * Words: elements, elements per tile, grad, hyper, param, mean, variance, beta1, 1 - beta1, beta2, 1 - beta2 as the bits of f32 numbers;
 * numbers: eps, decay. hyper: rate, c1, c2, scale.
 */
export function adamWTile(command: usize, tile: u32): void {
  const hyper = word(command, 3) as usize;
  const rate = v128.load_splat<f32>(hyper), correction1 = v128.load_splat<f32>(hyper, 4);
  const correction2 = v128.load_splat<f32>(hyper, 8), scale = v128.load_splat<f32>(hyper, 12);
  const beta1 = i32x4.splat(word(command, 7)), rest1 = i32x4.splat(word(command, 8));
  const beta2 = i32x4.splat(word(command, 9)), rest2 = i32x4.splat(word(command, 10));
  const eps = f32x4.splat(single(command, 0)), decay = f32x4.splat(single(command, 1));
  const first = firstOf(command, tile);
  let left = endOf(command, tile) - first;
  let grad = (word(command, 2) as usize) + (first << 2);
  let param = (word(command, 4) as usize) + (first << 2);
  let mean = (word(command, 5) as usize) + (first << 2);
  let variance = (word(command, 6) as usize) + (first << 2);
  while (left != 0) {
    const g = f32x4.mul(v128.load(grad), scale);
    const m = madd(v128.load(mean), beta1, f32x4.mul(g, rest1));
    const v = madd(v128.load(variance), beta2, f32x4.mul(f32x4.mul(g, g), rest2));
    const step = f32x4.div(f32x4.div(m, correction1), f32x4.add(f32x4.sqrt(f32x4.div(v, correction2)), eps));
    const old = v128.load(param);
    const next = f32x4.sub(old, f32x4.mul(madd(old, decay, step), rate));
    if (left < 4) {
      storeLanes(param, next, left);
      storeLanes(mean, m, left);
      storeLanes(variance, v, left);
      break;
    }
    v128.store(param, next);
    v128.store(mean, m);
    v128.store(variance, v);
    grad += 16;
    param += 16;
    mean += 16;
    variance += 16;
    left -= 4;
  }
}
