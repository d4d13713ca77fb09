// The k largest of each row for any k: what may be among them is chosen by its leading bits, and sorted by digits of 8 bits, which keeps
// the order of equals. A key orders the numbers as unsigned integers, best first: both zeros are one, and every NaN is the last.
import * as layout from "../layout";
import { word } from "./command";
import { fillWords } from "./move";

const DIGITS: u32 = 256;
const LEADING: u32 = layout.LEADING_VALUES;

/** Words: x, values, indices; rows; n, k (1 to n); scratch, bytes per thread and per row, one of them 16 n + 8192. A tile is a row. */
export function sortTile(command: usize, row: u32, thread: u32): void {
  const n = word(command, 4), k = word(command, 5);
  const scratch = (word(command, 6) as usize) + thread * word(command, 7) + row * word(command, 8);
  const x = (word(command, 0) as usize) + (((row as usize) * n) << 2);
  const to = ((row as usize) * k) << 2;
  const counts = scratch, pairs = scratch + LEADING * 4, others = pairs + ((n as usize) << 3);
  const count = choose(x, n, k, pairs, counts);
  const sorted = sort(pairs, others, count, counts);
  const values = (word(command, 1) as usize) + to, indices = (word(command, 2) as usize) + to;
  for (let i: u32 = 0; i < k; i++) {
    const index = load<u32>(sorted + (i << 3), 4);
    store<u32>(indices + (i << 2), index);
    store<u32>(values + (i << 2), load<u32>(x + (index << 2)));
  }
}

function keyOf(x: f32): u32 {
  const bits = reinterpret<i32>(x + 0); // -0 + 0 is 0
  return x != x ? 0xffffffff : bits ^ (~(bits >> 31) & 0x7fffffff);
}

/** Writes key and index of all that lie before the k-th or share its leading bits; returns how many. */
function choose(x: usize, n: u32, k: u32, pairs: usize, counts: usize): u32 {
  let highest: u32 = LEADING - 1;
  if (k < n) {
    fillWords(counts, 0, LEADING);
    for (let i: u32 = 0; i < n; i++) {
      const count = counts + ((keyOf(load<f32>(x + (i << 2))) >> 21) << 2);
      store<u32>(count, load<u32>(count) + 1);
    }
    highest = 0;
    for (let found = load<u32>(counts); found < k; found += load<u32>(counts + (highest << 2))) highest++;
  }
  let to = pairs;
  for (let i: u32 = 0; i < n; i++) {
    const key = keyOf(load<f32>(x + (i << 2)));
    store<u32>(to, key);
    store<u32>(to, i, 4);
    to += key >> 21 <= highest ? 8 : 0;
  }
  return ((to - pairs) >> 3) as u32;
}

/** Sorts pairs by their key, in order of their digits from the last; returns where they lie then. */
function sort(pairs: usize, others: usize, count: u32, counts: usize): usize {
  fillWords(counts, 0, 4 * DIGITS);
  for (let i: u32 = 0; i < count; i++) {
    const key = load<u32>(pairs + (i << 3));
    for (let digit: u32 = 0; digit < 4; digit++) {
      const at = counts + ((digit * DIGITS + ((key >> (8 * digit)) & 255)) << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
  }
  for (let digit: u32 = 0; digit < 4; digit++) {
    const places = counts + ((digit * DIGITS) << 2);
    const shift = 8 * digit;
    // Where all share a digit they are in order of it.
    if (load<u32>(places + (((load<u32>(pairs) >> shift) & 255) << 2)) == count) continue;
    let place = others;
    for (let i: u32 = 0; i < DIGITS; i++) {
      const size = load<u32>(places + (i << 2));
      store<u32>(places + (i << 2), place as u32);
      place += (size as usize) << 3;
    }
    for (let i: u32 = 0; i < count; i++) {
      const pair = load<u64>(pairs + (i << 3));
      const at = places + (((pair as u32 >> shift) & 255) << 2);
      const to = load<u32>(at);
      store<u64>(to as usize, pair);
      store<u32>(at, to + 8);
    }
    const from = pairs;
    pairs = others;
    others = from;
  }
  return pairs;
}
