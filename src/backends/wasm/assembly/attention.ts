// Attention in one pass over keys and values: a tile has some tokens of a batch row, the query heads of one kv head, and all keys that they
// may see or a chunk of them. Scores exist for a block of keys only, with running maxima and sums (Milakov & Gimelshein 2018).
import * as layout from "../layout";
import {
  ALL, FAR, FIELDS, FIRST, LAST, NEAR, NONE, PLACE, SEGMENT, SOME, SUMMARY_BYTES,
  greatestOf, groupOf, headsOf, keyLists, keyRecords, keyRowsOf, kvHeadsOf, leastOf, maskStream, packedOf, queryRecords, relation, sizeOf,
  summarize, tokensOf,
} from "./attention-tables";
import { addRows, anyOdd, packLanes, roundedUp, scoreRows, storeLanes } from "./attention-blocks";
import { FEW, addFew, fetch, scoreFew } from "./attention-few";
import { ABSENT, K_MATRIX, V_MATRIX, readRows } from "./attention-pools";
import { capScores, hideScores, scaleScores, shiftOf, weigh } from "./attention-softmax";
import { single, word } from "./command";
import { exp4 } from "./math";
import { madd } from "./simd";

export const BLOCK: u32 = layout.KEY_BLOCK;

/**
 * Keys that are scored at a time where a tile has one panel, and so its products wait for memory: meanwhile their rows of the next kv head are
 * fetched, and for the first head its own.
 */
const AHEAD: u32 = 8;

// Words after those of attention-tables.ts.
const Y: usize = 16, PER_TILE: usize = 17, TOKEN_TILES: usize = 18, BATCHES: usize = 19, CHUNKS: usize = 20, CHUNK_KEYS: usize = 21;
const SCRATCH: usize = 22, THREAD_BYTES: usize = 23, PARTS: usize = 24, STATISTICS: usize = 25;
// Numbers.
export const SCALE: usize = 0, SOFTCAP: usize = 1;

/** Lanes of the largest tile, a multiple of 8. */
function lanesOf(command: usize): u32 {
  return (word(command, PER_TILE) * groupOf(command) + 7) & ~7;
}

/** Of a part, or of a whole: maxima, sums, and sums of values. */
function partBytes(command: usize): usize {
  return ((lanesOf(command) as usize) * (2 + roundedUp(sizeOf(command)))) << 2;
}

/** Records of the queries of a unit: tokens and a kv head. The last tokens, which see most, come first. Returns how many rows there are. */
function queriesOf(command: usize, unit: u32, records: usize, zeros: usize): u32 {
  const perTile = word(command, PER_TILE), rest = unit / kvHeadsOf(command);
  const token = (word(command, TOKEN_TILES) - 1 - rest / word(command, BATCHES)) * perTile;
  const count = min(perTile, tokensOf(command) - token);
  const y = word(command, Y) as usize, span = lanesOf(command) << 2;
  return queryRecords(command, batchOf(command, unit), token, count, headOf(command, unit), y, records, span, zeros, false);
}

function batchOf(command: usize, unit: u32): u32 {
  return (unit / kvHeadsOf(command)) % word(command, BATCHES);
}

function headOf(command: usize, unit: u32): u32 {
  return unit % kvHeadsOf(command);
}

/** Kv heads of a tile: with few rows all, since rows of a pool lie together. The gradient's statistics are made head by head. */
function headsAtOnce(command: usize): u32 {
  return lanesOf(command) == 8 && word(command, STATISTICS) == 0 ? kvHeadsOf(command) : 1;
}

export function attentionTile(command: usize, tile: u32, thread: u32): void {
  const chunks = word(command, CHUNKS), heads = headsAtOnce(command);
  const first = (tile / chunks) * heads;
  for (let i: u32 = 0; i < heads; i++) attend(command, first + i, tile % chunks, thread);
}

/** The queries of a unit and a chunk of keys. */
function attend(command: usize, unit: u32, chunk: u32, thread: u32): void {
  const chunks = word(command, CHUNKS), size = sizeOf(command), lanes = lanesOf(command), kvHeads = kvHeadsOf(command);
  const span = (lanes as usize) << 2;
  const records = (word(command, SCRATCH) as usize) + (thread as usize) * word(command, THREAD_BYTES);
  const keys = records + FIELDS * span;
  const seen = keys + FIELDS * BLOCK * 4, passing = seen + SUMMARY_BYTES;
  const factors = passing + SUMMARY_BYTES;
  const zeros = factors + 32;
  const masks = zeros + (roundedUp(size) << 2);
  const scores = masks + span * BLOCK;
  const q = scores + BLOCK * 32;
  const part = (word(command, PARTS) as usize) + ((unit * chunks + chunk) as usize) * partBytes(command);
  const state = chunks > 1 ? part : q + span * roundedUp(size);
  const sums = state + span, values = sums + span;
  const packed = packedOf(command), absent = packed ? ABSENT : zeros;
  const keyRows = q + span * roundedUp(size) + partBytes(command), valueRows = keyRows + ((BLOCK * roundedUp(size)) << 2);
  memory.fill(zeros, 0, roundedUp(size) << 2);
  memory.fill(sums, 0, partBytes(command) - span);
  for (let i: usize = 0; i < span; i += 4) store<f32>(state + i, -Infinity);

  const rows = queriesOf(command, unit, records, zeros);
  const again = word(command, STATISTICS) != 0; // for the gradient
  const panels = (rows + 7) >> 3, few = rows <= FEW && !again;
  summarize(records, span, rows, seen);
  const first = max(0, leastOf(seen, FIRST)), last = min(keyRowsOf(command) as i32, greatestOf(seen, LAST));
  if (first < last) {
    const panelBytes = (size as usize) << 5;
    const batch = batchOf(command, unit), kvHead = headOf(command, unit);
    const fetching = headsAtOnce(command) == kvHeads && !packed && panels == 1, next = (size as usize) << 2;
    const near = keys + NEAR * BLOCK * 4, far = keys + FAR * BLOCK * 4;
    if (few) memory.fill(q, 0, span * roundedUp(size));
    const scale = single(command, SCALE), cap = single(command, SOFTCAP), queries = records + NEAR * span;
    for (let p: u32 = 0; p < panels && !few; p++) packLanes(queries + (p << 5), size, again ? 1 : scale, q + p * panelBytes);
    const from = (first as u32) + chunk * word(command, CHUNK_KEYS);
    const to = min(last as u32, from + word(command, CHUNK_KEYS));
    for (let row = from; row < to; row += BLOCK) {
      const end = min(to, row + BLOCK);
      let count = keyLists(command, batch, row, end, kvHead, near, far, absent, passing);
      const who = relation(command, seen, passing);
      if (who == NONE) continue;
      if (who == SOME) {
        count = keyRecords(command, batch, row, end, kvHead, keys, BLOCK * 4, absent, true);
        count = maskStream(command, records, span, panels, keys, BLOCK * 4, count, masks, BLOCK, true);
        if (count == 0) continue;
      }
      if (packed) {
        readRows(command, K_MATRIX, near, count, size, zeros, keyRows);
        readRows(command, V_MATRIX, far, count, size, zeros, valueRows);
      }
      const odd = who == SOME && anyOdd(far, count, size);
      for (let p: u32 = 0; p < panels; p++) {
        const place = (p as usize) << 5;
        const step = fetching ? AHEAD : count;
        for (let j: u32 = 0; j < count; j += step) {
          const list = near + (j << 2), some = min(step, count - j), to = scores + (j << 5);
          if (fetching) {
            let sum: u32 = 0;
            const other = far + (j << 2);
            if (kvHead == 0) sum = fetch(other, some, 0, size, zeros) + fetch(list + (AHEAD << 2), min(AHEAD, count - j - some), 0, size, zeros);
            if (kvHead + 1 < kvHeads) sum += fetch(list, some, next, size, zeros) + fetch(other, some, next, size, zeros);
            store<u32>(factors, sum);
          }
          if (few) scoreFew(list, some, queries, rows, size, scale, factors, to);
          else scoreRows(list, some, q + p * panelBytes, size, to);
        }
        if (again) scaleScores(scores, count, scale);
        if (cap != 0) capScores(scores, count, cap);
        if (who != ALL) hideScores(scores, count, masks + place * BLOCK);
        weigh(scores, count, state + place, sums + place, factors);
        if (again) continue;
        if (few) addFew(far, count, scores, rows, size, q, factors, odd);
        else addRows(far, count, scores, size, values + place * roundedUp(size), v128.load(factors), v128.load(factors, 16), odd);
      }
    }
    if (few) {
      for (let i: usize = 0; i < 8; i++) store<u32>(factors + (i << 2), (q + i * (roundedUp(size) << 2)) as u32);
      packLanes(factors, roundedUp(size), 1, values);
    }
  }
  if (again) remember(command, records, span, rows, state);
  else if (chunks == 1) finish(records, span, rows, size, state);
}

/** Divides the sums of values by those of weights, and writes the rows of y; rows that saw nothing are 0. */
function finish(records: usize, span: usize, rows: u32, size: u32, state: usize): void {
  const zero = f32x4.splat(0), one = f32x4.splat(1);
  for (let row: u32 = 0; row < rows; row += 8) {
    const place = (row as usize) << 2;
    const sums = state + span + place, segments = records + SEGMENT * span + place;
    const left = v128.load(sums), right = v128.load(sums, 16);
    const keep = v128.and(i32x4.ge_s(v128.load(segments), zero), f32x4.ne(left, zero));
    const hold = v128.and(i32x4.ge_s(v128.load(segments, 16), zero), f32x4.ne(right, zero));
    const list = records + FAR * span + place;
    const values = state + 2 * span + place * roundedUp(size);
    storeLanes(values, size, list, min(8, rows - row), f32x4.div(one, left), f32x4.div(one, right), keep, hold);
  }
}

/**
 * For the gradient, by the row's place: what to subtract from scores, and what to multiply the exponentials by. 0 for rows that saw
 * nothing.
 */
function remember(command: usize, records: usize, span: usize, rows: u32, state: usize): void {
  const count = (word(command, BATCHES) * tokensOf(command) * headsOf(command)) as usize;
  for (let row: u32 = 0; row < rows; row++) {
    const at = (row as usize) << 2;
    const to = (word(command, STATISTICS) as usize) + ((load<u32>(records + PLACE * span + at) as usize) << 2);
    const max = load<f32>(state + at), sum = load<f32>(state + span + at);
    store<f32>(to, max == f32(-Infinity) ? 0 : max);
    store<f32>(to + (count << 2), sum == 0 ? 0 : 1 / sum);
  }
}

/** Brings the parts of a unit together, in their order. */
export function mergeTile(command: usize, unit: u32, thread: u32): void {
  const chunks = word(command, CHUNKS), rounded = roundedUp(sizeOf(command)), bytes = partBytes(command);
  const span = (lanesOf(command) as usize) << 2;
  const records = (word(command, SCRATCH) as usize) + (thread as usize) * word(command, THREAD_BYTES);
  const state = records + FIELDS * span;
  const rows = queriesOf(command, unit, records, 0);
  const parts = (word(command, PARTS) as usize) + (unit as usize) * chunks * bytes;
  memory.fill(state + span, 0, bytes - span);
  for (let place: usize = 0; place < (rows as usize) << 2; place += 16) {
    let max = f32x4.splat(-Infinity);
    for (let c: u32 = 0; c < chunks; c++) max = f32x4.pmax(max, v128.load(parts + c * bytes + place));
    max = shiftOf(max);
    const sums = state + span + place;
    // Eight lanes of a panel lie together: four lanes have their own half of each line.
    const values = 2 * span + (place & ~31) * rounded + (place & 16);
    for (let c: u32 = 0; c < chunks; c++) {
      const part = parts + c * bytes;
      const factor = exp4(f32x4.sub(v128.load(part + place), max));
      v128.store(sums, madd(v128.load(part + span + place), factor, v128.load(sums)));
      for (let at = values, end = values + (rounded << 5); at < end; at += 32) {
        v128.store(state + at, madd(v128.load(part + at), factor, v128.load(state + at)));
      }
    }
  }
  finish(records, span, rows, sizeOf(command), state);
}
