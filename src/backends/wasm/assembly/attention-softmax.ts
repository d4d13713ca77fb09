// Scores of a panel [count][8] become weights, whose sums run from block to block with the maximum so far.
import { exp4, expDown4, tanh4 } from "./math";

/**
 * Where weights are made again, products are scaled afterwards: then a score has the same bits whichever of query and key lies in the panel,
 * and the difference of huge scores to their maximum means something.
 */
export function scaleScores(scores: usize, count: u32, scale: f32): void {
  const scales = f32x4.splat(scale);
  for (let i = count << 1; i != 0; i--) {
    v128.store(scores, f32x4.mul(v128.load(scores), scales));
    scores += 16;
  }
}

/** cap tanh(s / cap) */
export function capScores(scores: usize, count: u32, cap: f32): void {
  const caps = f32x4.splat(cap), inverse = f32x4.splat(1 / cap);
  for (let i = count << 1; i != 0; i--) {
    v128.store(scores, f32x4.mul(tanh4(f32x4.mul(v128.load(scores), inverse)), caps));
    scores += 16;
  }
}

/** -infinity where the mask is 0. */
export function hideScores(scores: usize, count: u32, masks: usize): void {
  const hidden = f32x4.splat(-Infinity);
  for (let i = count << 1; i != 0; i--) {
    v128.store(scores, v128.bitselect(v128.load(scores), hidden, v128.load(masks)));
    scores += 16;
    masks += 16;
  }
}

/** 0 in place of the maximum of nothing: what is hidden then has the weight exp(-infinity). */
export function shiftOf(max: v128): v128 {
  return v128.and(max, f32x4.ne(max, f32x4.splat(-Infinity)));
}

/**
 * Makes weights of scores and brings the running maxima and sums of the eight rows up to date. At `factors`: what weights that were made
 * before are multiplied by.
 */
export function weigh(scores: usize, count: u32, maxima: usize, sums: usize, factors: usize): void {
  const old0 = v128.load(maxima), old1 = v128.load(maxima, 16);
  // A score that is NaN stays out of the maximum, and makes its weight NaN.
  let max0 = old0, max1 = old1;
  let at = scores;
  for (let i = count; i != 0; i--) {
    max0 = f32x4.pmax(max0, v128.load(at));
    max1 = f32x4.pmax(max1, v128.load(at, 16));
    at += 32;
  }
  const shift0 = shiftOf(max0), shift1 = shiftOf(max1);
  const factor0 = exp4(f32x4.sub(old0, shift0)), factor1 = exp4(f32x4.sub(old1, shift1));
  let sum0 = f32x4.mul(v128.load(sums), factor0), sum1 = f32x4.mul(v128.load(sums, 16), factor1);
  at = scores;
  for (let i = count; i != 0; i--) {
    const e0 = expDown4(f32x4.sub(v128.load(at), shift0)), e1 = expDown4(f32x4.sub(v128.load(at, 16), shift1));
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
    v128.store(at, e0);
    v128.store(at, e1, 16);
    at += 32;
  }
  v128.store(maxima, max0);
  v128.store(maxima, max1, 16);
  v128.store(sums, sum0);
  v128.store(sums, sum1, 16);
  v128.store(factors, factor0);
  v128.store(factors, factor1, 16);
}
