// Gradients of attention, with the weights p made again: dv = p^T dy, and with ds = p (dy v^T - dy . y), times 1 - (s / softcap)^2 where
// scores are capped: dq = scale ds k, dk = scale ds^T q. Each output has one tile that owns it: dq a tile of queries past which the keys
// stream, dk and dv a tile of keys past which the queries stream.
import { ALL, FAR, FIELDS, FIRST, LAST, NEAR, NONE, PLACE, SEGMENT, SOME, SUMMARY_BYTES } from "./attention-tables";
import {
  greatestOf, groupOf, headsOf, keyRecords, keyRowsOf, kvHeadsOf, leastOf, maskStream, queryRecords, relation, sizeOf, summarize, tokensOf,
} from "./attention-tables";
import { addRows, anyOdd, packLanes, roundedUp, scoreRows, storeLanes } from "./attention-blocks";
import { capScores, scaleScores } from "./attention-softmax";
import { BLOCK, SCALE, SOFTCAP } from "./attention";
import { single, word } from "./command";
import { dot4 } from "./dot";
import { expDown4 } from "./math";

// Words after those of attention-tables.ts; statistics are three numbers by the row's place: shift, factor, mean.
const DY: usize = 16, PER_TILE: usize = 17, TILES: usize = 18, BATCHES: usize = 19, PASSING_TOKENS: usize = 20, NEAR_SUMS: usize = 21;
const SCRATCH: usize = 22, THREAD_BYTES: usize = 23, FAR_SUMS: usize = 24, STATISTICS: usize = 25, RESULT: usize = 26;

/** Words PER_TILE: rows of y per tile. The mean of a row: dy . y. */
export function meanTile(command: usize, tile: u32): void {
  const size = sizeOf(command), count = word(command, BATCHES) * tokensOf(command) * headsOf(command);
  const first = tile * word(command, PER_TILE), last = min(count, first + word(command, PER_TILE));
  const to = (word(command, STATISTICS) as usize) + ((count as usize) << 3);
  for (let row = first; row < last; row++) {
    const at = ((row as usize) * size) << 2;
    const y = (word(command, RESULT) as usize) + at;
    store<f32>(to + (row << 2), f32x4.extract_lane(dot4((word(command, DY) as usize) + at, y, y, y, y, size), 0));
  }
}

/** A tile of queries, for dq, or of keys, for dk and dv: PER_TILE tokens or key rows of a batch row, for one kv head. */
export function attentionGradTile(command: usize, tile: u32, thread: u32, lanesAreQueries: bool): void {
  const size = sizeOf(command), group = groupOf(command), perTile = word(command, PER_TILE);
  const kvHead = tile % kvHeadsOf(command), rest = tile / kvHeadsOf(command);
  const batch = rest % word(command, BATCHES), start = (rest / word(command, BATCHES)) * perTile;
  const lanes = (perTile * (lanesAreQueries ? group : 1) + 7) & ~7;
  const block = lanesAreQueries ? BLOCK : (word(command, PASSING_TOKENS) * group + 7) & ~7;
  const span = (lanes as usize) << 2, passingSpan = (block as usize) << 2;
  const rounded = roundedUp(size);
  const records = (word(command, SCRATCH) as usize) + (thread as usize) * word(command, THREAD_BYTES);
  const stream = records + FIELDS * span;
  const statistics = stream + FIELDS * passingSpan;
  const statisticsSpan = lanesAreQueries ? span : passingSpan;
  const targets = statistics + 3 * statisticsSpan;
  const seen = targets + span, passing = seen + SUMMARY_BYTES;
  const zeros = passing + SUMMARY_BYTES;
  const masks = zeros + (rounded << 2);
  const scores = masks + span * block, products = scores + (block << 5);
  const near = products + (block << 5), far = near + span * size;
  const nearSums = far + span * size, farSums = nearSums + span * rounded;
  memory.fill(zeros, 0, rounded << 2);
  memory.fill(nearSums, 0, 2 * span * rounded);

  const dy = word(command, DY) as usize;
  const count = min(perTile, (lanesAreQueries ? tokensOf(command) : keyRowsOf(command)) - start);
  const rows = lanesAreQueries
    ? queryRecords(command, batch, start, count, kvHead, dy, records, span, zeros, false)
    : keyRecords(command, batch, start, start + count, kvHead, records, span, zeros, false);
  summarize(records, span, rows, seen);
  const panels = (rows + 7) >> 3;
  const panelBytes = (size as usize) << 5;
  for (let p: u32 = 0; p < panels; p++) {
    packLanes(records + NEAR * span + (p << 5), size, 1, near + p * panelBytes);
    packLanes(records + FAR * span + (p << 5), size, 1, far + p * panelBytes);
  }
  if (lanesAreQueries) gather(command, records + PLACE * span, rows, statistics, statisticsSpan);

  const from = lanesAreQueries ? max(0, leastOf(seen, FIRST)) : 0;
  const to = lanesAreQueries ? min(keyRowsOf(command) as i32, greatestOf(seen, LAST)) : (tokensOf(command) as i32);
  const step = lanesAreQueries ? BLOCK : word(command, PASSING_TOKENS);
  const scale = single(command, SCALE), cap = single(command, SOFTCAP);
  const wantsNear = word(command, NEAR_SUMS) != 0, wantsFar = word(command, FAR_SUMS) != 0;
  const one = f32x4.splat(1);
  for (let at = from; at < to; at += step) {
    const end = min(to, at + step);
    let passed = lanesAreQueries
      ? keyRecords(command, batch, at, end, kvHead, stream, passingSpan, zeros, true)
      : queryRecords(command, batch, at, end - at, kvHead, dy, stream, passingSpan, zeros, true);
    summarize(stream, passingSpan, passed, passing);
    const who = lanesAreQueries ? relation(command, seen, passing) : relation(command, passing, seen);
    if (who == SOME) passed = maskStream(command, records, span, panels, stream, passingSpan, passed, masks, block, lanesAreQueries);
    if (who == NONE || passed == 0) continue;
    if (!lanesAreQueries) gather(command, stream + PLACE * passingSpan, passed, statistics, statisticsSpan);
    const oddNear = who == SOME && anyOdd(stream + NEAR * passingSpan, passed, size);
    const oddFar = who == SOME && wantsFar && anyOdd(stream + FAR * passingSpan, passed, size);
    for (let p: u32 = 0; p < panels; p++) {
      const place = (p as usize) << 5;
      scoreRows(stream + NEAR * passingSpan, passed, near + p * panelBytes, size, scores);
      scaleScores(scores, passed, scale);
      if (cap != 0) capScores(scores, passed, cap);
      if (wantsNear) scoreRows(stream + FAR * passingSpan, passed, far + p * panelBytes, size, products);
      const mask = who == ALL ? 0 : masks + place * block;
      const own = statistics + (lanesAreQueries ? place : 0);
      differentiate(scores, products, passed, mask, cap == 0 ? 0 : 1 / cap, own, statisticsSpan, lanesAreQueries);
      if (wantsNear) addRows(stream + NEAR * passingSpan, passed, products, size, nearSums + place * rounded, one, one, oddNear);
      if (wantsFar) addRows(stream + FAR * passingSpan, passed, scores, size, farSums + place * rounded, one, one, oddFar);
    }
  }
  if (wantsNear) storeAll(command, records, span, rows, targets, nearSums, word(command, NEAR_SUMS), scale);
  if (wantsFar) storeAll(command, records, span, rows, targets, farSums, word(command, FAR_SUMS), 1);
}

/** The statistics of rows at these places, [3][span]. */
function gather(command: usize, places: usize, rows: u32, to: usize, span: usize): void {
  const count = (word(command, BATCHES) * tokensOf(command) * headsOf(command)) as usize;
  for (let row: u32 = 0; row < rows; row++) {
    const from = (word(command, STATISTICS) as usize) + ((load<u32>(places + (row << 2)) as usize) << 2);
    for (let i: usize = 0; i < 3; i++) store<f32>(to + i * span + (row << 2), load<f32>(from + i * (count << 2)));
  }
}

/**
 * Scores become weights, and the products dy . v become ds, both 0 where the mask (or the weight) is. Statistics: of the eight lanes, or
 * one for each row.
 */
function differentiate(
  scores: usize, products: usize, count: u32, masks: usize, inverseCap: f32, statistics: usize, span: usize, byLane: bool,
): void {
  const inverse = f32x4.splat(inverseCap), one = f32x4.splat(1), zero = f32x4.splat(0);
  for (let i: u32 = 0; i < count << 1; i++) {
    const at = statistics + (byLane ? (i & 1) << 4 : (i >> 1) << 2);
    const shift = byLane ? v128.load(at) : v128.load_splat<f32>(at);
    const factor = byLane ? v128.load(at + span) : v128.load_splat<f32>(at + span);
    const mean = byLane ? v128.load(at + 2 * span) : v128.load_splat<f32>(at + 2 * span);
    const offset = (i as usize) << 4;
    const s = v128.load(scores + offset);
    let p = f32x4.mul(expDown4(f32x4.sub(s, shift)), factor);
    if (masks != 0) p = v128.and(p, v128.load(masks + offset));
    const bend = f32x4.mul(s, inverse);
    const ds = f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(products + offset), mean)), f32x4.sub(one, f32x4.mul(bend, bend)));
    v128.store(scores + offset, p);
    v128.store(products + offset, v128.and(ds, f32x4.ne(p, zero)));
  }
}

/** Writes the sums of all panels, times `scale`, to the places of their rows; absent rows are 0. */
function storeAll(command: usize, records: usize, span: usize, rows: u32, targets: usize, sums: usize, base: usize, scale: f32): void {
  const size = sizeOf(command);
  for (let row: u32 = 0; row < rows; row++) {
    store<u32>(targets + (row << 2), (base + (((load<u32>(records + PLACE * span + (row << 2)) as usize) * size) << 2)) as u32);
  }
  const zero = i32x4.splat(0), scales = f32x4.splat(scale);
  for (let row: u32 = 0; row < rows; row += 8) {
    const place = (row as usize) << 2;
    const segments = records + SEGMENT * span + place;
    const keep = i32x4.ge_s(v128.load(segments), zero), hold = i32x4.ge_s(v128.load(segments, 16), zero);
    storeLanes(sums + place * roundedUp(size), size, targets + place, min(8, rows - row), scales, scales, keep, hold);
  }
}

/**
 * Words: rows [B S], pool, table of keys, B S, slots of the pool, numbers in a row, slots per tile. A tile owns some slots and adds the
 * rows that name them, in order.
 */
export function poolTile(command: usize, tile: u32): void {
  const slots = word(command, 4), width = word(command, 5), perTile = word(command, 6);
  const first = tile * perTile, last = min(slots, first + perTile);
  const pool = word(command, 1) as usize, bytes = (width as usize) << 2;
  memory.fill(pool + first * bytes, 0, (last - first) * bytes);
  let from = word(command, 0) as usize;
  let key = word(command, 2) as usize;
  for (let i = word(command, 3); i != 0; i--) {
    const slot = load<u32>(key, 8);
    if (load<i32>(key) >= 0 && slot >= first && slot < last) addRow(from, pool + slot * bytes, width);
    from += bytes;
    key += 12;
  }
}

function addRow(from: usize, to: usize, width: u32): void {
  for (let i = width >> 2; i != 0; i--) {
    v128.store(to, f32x4.add(v128.load(to), v128.load(from)));
    from += 16;
    to += 16;
  }
  for (let i = width & 3; i != 0; i--) {
    store<f32>(to, load<f32>(to) + load<f32>(from));
    from += 4;
    to += 4;
  }
}
