// The k largest of each row for small k: numbers that do not reach the last of those found so far are passed over, a cache line at a time.
import { word } from "./command";

/** Words: x, values, indices; rows, rows per tile; n, k (1 to n). */
export function topKTile(command: usize, tile: u32): void {
  const perTile = word(command, 4), n = word(command, 5), k = word(command, 6);
  const last = min(word(command, 3), (tile + 1) * perTile);
  for (let row = tile * perTile; row < last; row++) {
    const x = (word(command, 0) as usize) + (((row as usize) * n) << 2);
    const to = ((row as usize) * k) << 2;
    topOfRow(x, n, (word(command, 1) as usize) + to, (word(command, 2) as usize) + to, k);
  }
}

/** Whether a comes before b though b has the lower index. */
function precedes(a: f32, b: f32): bool {
  return a > b || (b != b && a == a);
}

function topOfRow(x: usize, n: u32, values: usize, indices: usize, k: u32): void {
  for (let i: u32 = 0; i < k; i++) insert(x, i, values, indices, i);
  let bar = load<f32>(values + ((k - 1) << 2));
  let i = k;
  for (; i + 16 <= n; i += 16) {
    const at = x + (i << 2);
    if (noneAbove(at, f32x4.splat(bar))) continue;
    for (let j = i; j < i + 16; j++) {
      if (!precedes(load<f32>(x + (j << 2)), bar)) continue;
      insert(x, j, values, indices, k - 1);
      bar = load<f32>(values + ((k - 1) << 2));
    }
  }
  for (; i < n; i++) {
    if (!precedes(load<f32>(x + (i << 2)), bar)) continue;
    insert(x, i, values, indices, k - 1);
    bar = load<f32>(values + ((k - 1) << 2));
  }
}

/** Of 16 numbers; false where one or the bar is NaN, which has to be looked at. */
function noneAbove(at: usize, bar: v128): bool {
  const low = v128.and(f32x4.le(v128.load(at), bar), f32x4.le(v128.load(at, 16), bar));
  const high = v128.and(f32x4.le(v128.load(at, 32), bar), f32x4.le(v128.load(at, 48), bar));
  return i32x4.all_true(v128.and(low, high));
}

/** Puts number `index` into the sorted list whose places before `place` are taken, behind its equals. */
function insert(x: usize, index: u32, values: usize, indices: usize, place: u32): void {
  const from = x + (index << 2);
  const value = load<f32>(from);
  let to = place << 2;
  while (to != 0 && precedes(value, load<f32>(values + to - 4))) {
    store<u32>(values + to, load<u32>(values + to - 4));
    store<u32>(indices + to, load<u32>(indices + to - 4));
    to -= 4;
  }
  store<u32>(values + to, load<u32>(from));
  store<u32>(indices + to, index);
}
