// From a row of logits to its k experts and their weights.
import * as codes from "../codes";
import * as layout from "../layout";
import { single, word } from "./command";
import { storeLanes } from "./dot";
import { exp4, expOf, sigmoid4 } from "./math";

const SOFTMAX: u32 = codes.SOFTMAX_SCORE, SIGMOID: u32 = codes.SIGMOID_SCORE;

/** A key that is smaller than that of any number: an expert that was taken, or that does not exist. */
const TAKEN: i32 = -0x80000000;
const BLOCK: u32 = layout.ROUTE_BLOCK;

/**
 * Words: logits, bias or 0, weights, experts, rows, E, k, score (softmax, sigmoid, uniform), whether to normalize, rows per tile, scratch
 * of the threads and bytes of it per thread: the keys, then their blocks (kernels/route.ts). Number: scale.
 */
export function routeTile(command: usize, tile: u32, thread: u32): void {
  const width = word(command, 5), k = word(command, 6), score = word(command, 7), perTile = word(command, 9);
  const bias = word(command, 1) as usize;
  const keys = (word(command, 10) as usize) + thread * word(command, 11);
  const last = min(word(command, 4), (tile + 1) * perTile);
  for (let row = tile * perTile; row < last; row++) {
    const logits = (word(command, 0) as usize) + ((row * width) << 2);
    const weights = (word(command, 2) as usize) + ((row * k) << 2), experts = (word(command, 3) as usize) + ((row * k) << 2);
    if (bias != 0) biased(logits, bias, keys, width, score);
    const ordered = rank(bias == 0 ? logits : keys, keys, width, k, experts);
    let most: f32 = NaN;
    if (bias != 0) most = largest(logits, width);
    else if (ordered) most = load<f32>(logits + (load<u32>(experts) << 2));
    weigh(logits, width, most, weights, experts, k, score, word(command, 8) != 0, single(command, 0));
  }
}

/**
 * Indices of the k largest of x[0..width), best first, equal ones in their order, NaN last; returns whether there is no NaN. `keys` has
 * room for the width rounded up to BLOCK, and may be x; then for one largest key per block, rounded up to 4.
 */
function rank(x: usize, keys: usize, width: u32, k: u32, to: usize): bool {
  const blocks = (width + BLOCK - 1) / BLOCK;
  const tops = keys + ((blocks * BLOCK) << 2);
  let ordered = i32x4.splat(-1);
  let i: u32 = 0;
  for (; i + 4 <= width; i += 4) {
    const four = v128.load(x + (i << 2));
    ordered = v128.and(ordered, f32x4.eq(four, four));
    v128.store(keys + (i << 2), keysOf(four));
  }
  for (; i < width; i++) {
    const value = load<f32>(x + (i << 2));
    if (value != value) ordered = i32x4.splat(0);
    store<i32>(keys + (i << 2), i32x4.extract_lane(keysOf(f32x4.splat(value)), 0));
  }
  for (; i < blocks * BLOCK; i++) store<i32>(keys + (i << 2), TAKEN);
  for (let block: u32 = 0; block < ((blocks + 3) & ~3); block++) {
    store<i32>(tops + (block << 2), block < blocks ? topOf(keys + ((block * BLOCK) << 2)) : TAKEN);
  }
  for (let j: u32 = 0; j < k; j++) {
    let most = v128.load(tops);
    for (let block: u32 = 4; block < blocks; block += 4) most = i32x4.max_s(most, v128.load(tops + (block << 2)));
    const key = i32x4.splat(topLane(most));
    const top = find(tops, key);
    const block = keys + ((top * BLOCK) << 2);
    const at = find(block, key);
    store<u32>(to + (j << 2), top * BLOCK + at);
    store<i32>(block + (at << 2), TAKEN);
    store<i32>(tops + (top << 2), topOf(block));
  }
  return v128.all_true<i32>(ordered);
}

/** Integers in the order of the numbers: -0 and 0 are equal, and NaN comes right after what is TAKEN. */
function keysOf(x: v128): v128 {
  const bits = f32x4.add(x, f32x4.splat(0)); // -0 becomes 0
  const key = v128.xor(bits, i32x4.shr_u(i32x4.shr_s(bits, 31), 1));
  return v128.bitselect(key, i32x4.splat(TAKEN + 1), f32x4.eq(x, x));
}

/** The largest of BLOCK keys. */
function topOf(block: usize): i32 {
  const left = i32x4.max_s(v128.load(block), v128.load(block, 16)), right = i32x4.max_s(v128.load(block, 32), v128.load(block, 48));
  return topLane(i32x4.max_s(left, right));
}

function topLane(x: v128): i32 {
  const pairs = i32x4.max_s(x, i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const left = i32x4.extract_lane(pairs, 0), right = i32x4.extract_lane(pairs, 1);
  return left > right ? left : right;
}

/** The place of the first `key`, which is there. */
function find(keys: usize, key: v128): u32 {
  let i: u32 = 0, equal: i32 = 0;
  for (;;) {
    equal = i32x4.bitmask(i32x4.eq(v128.load(keys + (i << 2)), key));
    if (equal != 0) break;
    i += 4;
  }
  return i + ctz(equal);
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
function biased(x: usize, bias: usize, to: usize, width: u32, score: u32): void {
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
 * The weights of the chosen; `most` is the largest logit. Softmax weights that are normalized need no sum over all experts: what it divides
 * cancels. They are taken relative to the largest chosen logit, so they do not vanish together; a largest logit that is NaN or infinite
 * makes them NaN, as it makes the softmax.
 */
function weigh(x: usize, width: u32, most: f32, weights: usize, experts: usize, k: u32, score: u32, normalize: bool, scale: f32): void {
  let chosen: f32 = -Infinity;
  for (let j: u32 = 0; j < k; j++) {
    const logit = load<f32>(x + (load<u32>(experts + (j << 2)) << 2));
    store<f32>(weights + (j << 2), logit);
    chosen = max(chosen, logit);
  }
  const base = normalize ? chosen + (most - most) : most;
  let sum: f32 = 0;
  for (let j: u32 = 0; j < k; j += 4) {
    const left = k - j, at = weights + (j << 2);
    const logits = v128.load(at);
    let four = f32x4.splat(1);
    if (score == SOFTMAX) four = exp4(f32x4.sub(logits, f32x4.splat(base)));
    else if (score == SIGMOID) four = sigmoid4(logits);
    storeLanes(at, four, left);
    sum += f32x4.extract_lane(four, 0);
    if (left > 1) sum += f32x4.extract_lane(four, 1);
    if (left > 2) sum += f32x4.extract_lane(four, 2);
    if (left > 3) sum += f32x4.extract_lane(four, 3);
  }
  const factor = scale / (normalize ? sum : score == SOFTMAX ? sumOfExps(x, width, most) : 1);
  for (let j: u32 = 0; j < k; j++) store<f32>(weights + (j << 2), load<f32>(weights + (j << 2)) * factor);
}
