// From a row of logits to its k experts and their weights.
import { single, word } from "./command";
import { exp4, expOf, sigmoid4, sigmoidOf } from "./math";

const SOFTMAX: u32 = 0;
const SIGMOID: u32 = 1;

/**
 * Words: logits, bias or 0, weights, experts, rows, E, k, score (softmax, sigmoid, uniform), whether to normalize, rows per tile, scratch of the
 * threads (E numbers, then 8 to spare) and bytes of it per thread. Number: scale.
 */
export function routeTile(command: usize, tile: u32, thread: u32): void {
  const width = word(command, 5), k = word(command, 6), perTile = word(command, 9);
  const bias = word(command, 1) as usize;
  const keys = (word(command, 10) as usize) + thread * word(command, 11);
  const last = min(word(command, 4), (tile + 1) * perTile);
  for (let row = tile * perTile; row < last; row++) {
    const logits = (word(command, 0) as usize) + ((row * width) << 2);
    const weights = (word(command, 2) as usize) + ((row * k) << 2), experts = (word(command, 3) as usize) + ((row * k) << 2);
    if (bias == 0) {
      rank(logits, width, k, experts);
    } else {
      keysOf(logits, bias, keys, width, word(command, 7));
      rank(keys, width, k, experts);
    }
    weigh(logits, width, weights, experts, k, word(command, 7), word(command, 8) != 0, single(command, 0));
  }
}

/** Indices of the k largest of x[0..width), best first, equal ones in their order, NaN last. */
function rank(x: usize, width: u32, k: u32, to: usize): void {
  for (let i: u32 = 0; i < k; i++) insert(x, i, i, to);
  const worst = to + ((k - 1) << 2);
  let bound = load<f32>(x + (load<u32>(worst) << 2));
  let i = k;
  for (; i + 4 <= width; i += 4) {
    // Almost always none of four comes before the k-th: a comparison that is false for NaN on either side keeps those in doubt.
    const four = v128.load(x + (i << 2));
    if (v128.any_true(v128.and(v128.not(f32x4.le(four, f32x4.splat(bound))), f32x4.eq(four, four)))) {
      for (let j = i; j < i + 4; j++) bound = offer(x, j, k, to, bound);
    }
  }
  for (; i < width; i++) bound = offer(x, i, k, to, bound);
}

/** Takes element i into the list of k if it comes before the last of them, whose value is `bound`; returns that value after it. */
function offer(x: usize, i: u32, k: u32, to: usize, bound: f32): f32 {
  if (!precedes(load<f32>(x + (i << 2)), bound)) return bound;
  insert(x, i, k - 1, to);
  return load<f32>(x + (load<u32>(to + ((k - 1) << 2)) << 2));
}

/** Puts element i into the list, of which places [0, place) are in order; what stood in `place` is lost. */
function insert(x: usize, i: u32, place: u32, to: usize): void {
  const value = load<f32>(x + (i << 2));
  for (; place > 0; place--) {
    const before = load<u32>(to + ((place - 1) << 2));
    if (!precedes(value, load<f32>(x + (before << 2)))) break;
    store<u32>(to + (place << 2), before);
  }
  store<u32>(to + (place << 2), i);
}

function precedes(a: f32, b: f32): bool {
  return a == a && !(a <= b);
}

function largest(x: usize, width: u32): f32 {
  let most = f32x4.splat(-Infinity);
  let i: u32 = 0;
  for (; i + 4 <= width; i += 4) most = f32x4.max(most, v128.load(x + (i << 2)));
  let result = max(
    max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)), max(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  );
  for (; i < width; i++) result = max(result, load<f32>(x + (i << 2)));
  return result;
}

/** Sum of exp(x - most). */
function sumOfExps(x: usize, width: u32, most: f32): f32 {
  let sums = f32x4.splat(0);
  let i: u32 = 0;
  for (; i + 4 <= width; i += 4) sums = f32x4.add(sums, exp4(f32x4.sub(v128.load(x + (i << 2)), f32x4.splat(most))));
  let sum = f32x4.extract_lane(sums, 0) + f32x4.extract_lane(sums, 2) + (f32x4.extract_lane(sums, 1) + f32x4.extract_lane(sums, 3));
  for (; i < width; i++) sum += expOf(load<f32>(x + (i << 2)) - most);
  return sum;
}

/** score + bias; `to` has room for three numbers more. */
function keysOf(x: usize, bias: usize, to: usize, width: u32, score: u32): void {
  const most = f32x4.splat(score == SOFTMAX ? largest(x, width) : 0);
  const sum = f32x4.splat(score == SOFTMAX ? sumOfExps(x, width, f32x4.extract_lane(most, 0)) : 1);
  for (let i: u32 = 0; i < width; i += 4) {
    const four = v128.load(x + (i << 2));
    let value = f32x4.splat(1);
    if (score == SOFTMAX) value = f32x4.div(exp4(f32x4.sub(four, most)), sum);
    else if (score == SIGMOID) value = sigmoid4(four);
    v128.store(to + (i << 2), f32x4.add(value, v128.load(bias + (i << 2))));
  }
}

/**
 * Softmax weights that are normalized need no sum over all experts: what it divides cancels. They are taken relative to the largest chosen
 * logit, so they do not vanish together; a largest logit that is NaN or infinite makes them NaN, as it makes the softmax.
 */
function weigh(x: usize, width: u32, weights: usize, experts: usize, k: u32, score: u32, normalize: bool, scale: f32): void {
  let factor: f32 = 1, most: f32 = 0;
  if (score == SOFTMAX) {
    most = largest(x, width);
    if (!normalize) {
      factor = sumOfExps(x, width, most);
    } else if (most - most == 0) {
      most = -Infinity;
      for (let j: u32 = 0; j < k; j++) most = max(most, load<f32>(x + (load<u32>(experts + (j << 2)) << 2)));
      if (most == -Infinity) most = NaN;
    } else {
      most = NaN;
    }
  }
  let sum: f32 = 0;
  for (let j: u32 = 0; j < k; j++) {
    const logit = load<f32>(x + (load<u32>(experts + (j << 2)) << 2));
    const weight: f32 = score == SOFTMAX ? expOf(logit - most) : score == SIGMOID ? sigmoidOf(logit) : 1;
    store<f32>(weights + (j << 2), weight);
    sum += weight;
  }
  factor = scale / (normalize ? sum : factor);
  for (let j: u32 = 0; j < k; j++) store<f32>(weights + (j << 2), load<f32>(weights + (j << 2)) * factor);
}
