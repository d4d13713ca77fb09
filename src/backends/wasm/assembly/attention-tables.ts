// Who sees whom in attention: records of queries and of keys, made from the two tables, and the rule that holds between them. Records lie
// field by field, so that four of them are one vector. "Lanes" are the rows that a tile owns, "stream" the blocks of the other side that
// pass by.
import { signed, word } from "./command";

// Words that all commands of attention share.
export const Q: usize = 0, K: usize = 1, V: usize = 2, QUERIES: usize = 3, KEYS: usize = 4;
const TOKENS: usize = 5, HEADS: usize = 6, KV_HEADS: usize = 7, SIZE: usize = 8, SLOTS: usize = 9, KEY_ROWS: usize = 10;
/** In dist = position of the query - that of the key: the least there may be at all, and the limits of the window. */
const LEAST: usize = 11, FROM: usize = 12, TO: usize = 13, SINKS: usize = 14;
/** Bytes of a row of K or V. 1 where a pool is packed, with K and V 0: in place of their addresses, keys then get the numbers of their rows. */
const ROW_BYTES: usize = 15;

export function tokensOf(command: usize): u32 {
  return word(command, TOKENS);
}
export function headsOf(command: usize): u32 {
  return word(command, HEADS);
}
export function kvHeadsOf(command: usize): u32 {
  return word(command, KV_HEADS);
}
export function groupOf(command: usize): u32 {
  return word(command, HEADS) / word(command, KV_HEADS);
}
export function sizeOf(command: usize): u32 {
  return word(command, SIZE);
}
export function packedOf(command: usize): bool {
  return word(command, ROW_BYTES) == 1;
}
export function keyRowsOf(command: usize): u32 {
  return word(command, KEY_ROWS);
}

// Fields. SEGMENT is that without the mark of a global token, -1 for an absent query and -2 for a hidden key; FREE is all ones for a global
// token and for a sink. A query's range is [FIRST, LAST), a key's FIRST is its row. NEAR and FAR are addresses: rows of q and dy, or of
// keys and values.
export const POSITION: usize = 0, SEGMENT: usize = 1, FREE: usize = 2, FIRST: usize = 3, LAST: usize = 4, NEAR: usize = 5, FAR: usize = 6;
/** Where the record's row stands among all rows of queries, or of keys. */
export const PLACE: usize = 7;
export const FIELDS: usize = 8;

function put(
  record: usize, span: usize, position: i32, segment: i32, free: i32, first: i32, last: i32, near: usize, far: usize, place: u32,
): void {
  store<i32>(record + POSITION * span, position);
  store<i32>(record + SEGMENT * span, segment);
  store<i32>(record + FREE * span, free);
  store<i32>(record + FIRST * span, first);
  store<i32>(record + LAST * span, last);
  store<u32>(record + NEAR * span, near as u32);
  store<u32>(record + FAR * span, far as u32);
  store<u32>(record + PLACE * span, place);
}

/**
 * Records of `count` tokens of a batch row and the query heads of one kv head; returns how many. As lanes they are filled up to a multiple
 * of 8 by absent ones, whose addresses are `zeros`; in a stream absent ones are left out. `other`: what FAR shall address, shaped like q.
 */
export function queryRecords(
  command: usize, batch: u32, token: u32, count: u32, kvHead: u32, other: usize, records: usize, span: usize, zeros: usize, stream: bool,
): u32 {
  const heads = headsOf(command), group = groupOf(command), size = sizeOf(command);
  const q = word(command, Q) as usize;
  const first = batch * tokensOf(command) + token;
  let at = (word(command, QUERIES) as usize) + ((first as usize) << 4);
  let rows: u32 = 0;
  for (let t: u32 = 0; t < count; t++) {
    const position = load<i32>(at), segment = load<i32>(at, 4);
    if (position >= 0 || !stream) {
      const plain = position < 0 ? -1 : segment < 0 ? ~segment : segment;
      let place = (first + t) * heads + kvHead * group;
      for (let g: u32 = 0; g < group; g++) {
        const offset = ((place as usize) * size) << 2;
        const record = records + (rows << 2);
        put(record, span, position, plain, segment >> 31, load<i32>(at, 8), load<i32>(at, 12), q + offset, other + offset, place);
        place++;
        rows++;
      }
    }
    at += 16;
  }
  if (!stream) {
    for (let i = rows; i & 7; i++) put(records + (i << 2), span, -1, -1, 0, 0, 0, zeros, zeros, 0);
  }
  return rows;
}

/**
 * Records of the key rows [first, last) of a batch row, for one kv head; returns how many. A slot out of range has `zeros`. Hidden keys: as
 * for absent queries above.
 */
export function keyRecords(
  command: usize, batch: u32, first: u32, last: u32, kvHead: u32, records: usize, span: usize, zeros: usize, stream: bool,
): u32 {
  const kvHeads = kvHeadsOf(command), rowBytes = word(command, ROW_BYTES) as usize, slots = word(command, SLOTS);
  const sinks = signed(command, SINKS);
  const k = word(command, K) as usize, v = word(command, V) as usize;
  let at = (word(command, KEYS) as usize) + ((batch * keyRowsOf(command) + first) as usize) * 12;
  let rows: u32 = 0;
  for (let row = first; row < last; row++) {
    const position = load<i32>(at), segment = load<i32>(at, 4), slot = load<u32>(at, 8);
    at += 12;
    if (position < 0 && stream) continue;
    const plain = position < 0 ? -2 : segment < 0 ? ~segment : segment;
    const free = (segment >> 31) | -i32(position < sinks);
    const known = position >= 0 && slot < slots;
    const offset = ((slot as usize) * kvHeads + kvHead) * rowBytes;
    const place = (batch * keyRowsOf(command) + row) * kvHeads + kvHead;
    put(records + (rows << 2), span, position, plain, free, row as i32, 0, known ? k + offset : zeros, known ? v + offset : zeros, place);
    rows++;
  }
  if (!stream) {
    for (let i = rows; i & 7; i++) put(records + (i << 2), span, -1, -2, 0, 0, 0, zeros, zeros, 0);
  }
  return rows;
}

/**
 * What passes of the key rows [first, last), when nothing more need be known of each: addresses of keys and values without the hidden ones, and
 * the summary of them all. FIRST covers the hidden ones too. Returns how many there are.
 */
export function keyLists(
  command: usize, batch: u32, first: u32, last: u32, kvHead: u32, near: usize, far: usize, zeros: usize, summary: usize,
): u32 {
  const kvHeads = kvHeadsOf(command), rowBytes = word(command, ROW_BYTES) as usize, slots = word(command, SLOTS);
  const sinks = signed(command, SINKS);
  const k = word(command, K) as usize, v = word(command, V) as usize;
  let least = i32.MAX_VALUE, greatest = i32.MIN_VALUE, lowest = i32.MAX_VALUE, highest = i32.MIN_VALUE, free = 0;
  let at = (word(command, KEYS) as usize) + ((batch * keyRowsOf(command) + first) as usize) * 12;
  const start = near;
  for (const end = at + ((last - first) as usize) * 12; at < end; at += 12) {
    const position = load<i32>(at), segment = load<i32>(at, 4), slot = load<u32>(at, 8);
    if (position < 0) continue;
    const plain = segment ^ (segment >> 31);
    free |= (segment >> 31) | -i32(position < sinks);
    least = min(least, position);
    greatest = max(greatest, position);
    lowest = min(lowest, plain);
    highest = max(highest, plain);
    const known = slot < slots;
    const offset = ((slot as usize) * kvHeads + kvHead) * rowBytes;
    store<u32>(near, known ? k + offset : zeros);
    store<u32>(far, known ? v + offset : zeros);
    near += 4;
    far += 4;
  }
  const count = ((near - start) >> 2) as u32;
  store<u32>(summary, count, COUNT);
  store<i32>(summary, free, ANY_FREE);
  storeExtremes(summary, least, greatest);
  storeExtremes(summary + 8, lowest, highest);
  storeExtremes(summary + 16, first as i32, (last as i32) - 1);
  return count;
}

function storeExtremes(at: usize, least: i32, greatest: i32): void {
  store<i32>(at, least, EXTREMES);
  store<i32>(at, greatest, EXTREMES + 4);
}

// A summary: how many records are present, whether one is free, and the least and greatest of POSITION, SEGMENT, FIRST and LAST.
const COUNT: usize = 0, ANY_FREE: usize = 4, EXTREMES: usize = 8;
export const SUMMARY_BYTES: usize = 64;

export function summarize(records: usize, span: usize, count: u32, summary: usize): void {
  store<u32>(summary, 0, COUNT);
  store<i32>(summary, 0, ANY_FREE);
  for (let field: usize = 0; field < 4; field++) {
    storeExtremes(summary + (field << 3), i32.MAX_VALUE, i32.MIN_VALUE);
  }
  for (let i: u32 = 0; i < count; i++) {
    const record = records + (i << 2);
    if (load<i32>(record + SEGMENT * span) < 0) continue;
    store<u32>(summary, load<u32>(summary, COUNT) + 1, COUNT);
    store<i32>(summary, load<i32>(summary, ANY_FREE) | load<i32>(record + FREE * span), ANY_FREE);
    extend(summary, load<i32>(record + POSITION * span));
    extend(summary + 8, load<i32>(record + SEGMENT * span));
    extend(summary + 16, load<i32>(record + FIRST * span));
    extend(summary + 24, load<i32>(record + LAST * span));
  }
}

function extend(at: usize, x: i32): void {
  store<i32>(at, min(load<i32>(at, EXTREMES), x), EXTREMES);
  store<i32>(at, max(load<i32>(at, EXTREMES + 4), x), EXTREMES + 4);
}

export function leastOf(summary: usize, field: usize): i32 {
  return load<i32>(summary + (field == LAST ? 24 : field == FIRST ? 16 : field << 3), EXTREMES);
}
export function greatestOf(summary: usize, field: usize): i32 {
  return load<i32>(summary + (field == LAST ? 24 : field == FIRST ? 16 : field << 3), EXTREMES + 4);
}

/** What is known of all pairs of two summaries: nobody sees anybody, each sees each, or some. */
export const NONE: u32 = 0, ALL: u32 = 1, SOME: u32 = 2;

export function relation(command: usize, q: usize, k: usize): u32 {
  if (load<u32>(q, COUNT) == 0 || load<u32>(k, COUNT) == 0) return NONE;
  const least = signed(command, LEAST), from = signed(command, FROM), to = signed(command, TO);
  const smallest = leastOf(q, POSITION) - greatestOf(k, POSITION), largest = greatestOf(q, POSITION) - leastOf(k, POSITION);
  const bounded = largest < least || leastOf(q, FIRST) > greatestOf(k, FIRST) || greatestOf(q, LAST) <= leastOf(k, FIRST);
  const apart = greatestOf(q, SEGMENT) < leastOf(k, SEGMENT) || leastOf(q, SEGMENT) > greatestOf(k, SEGMENT);
  const free = load<i32>(q, ANY_FREE) | load<i32>(k, ANY_FREE);
  if (bounded || apart || (free == 0 && (smallest > to || largest < from))) return NONE;
  const one = leastOf(q, SEGMENT) == greatestOf(q, SEGMENT) && leastOf(k, SEGMENT) == greatestOf(k, SEGMENT);
  const inside = smallest >= least && smallest >= from && largest <= to;
  const covered = greatestOf(q, FIRST) <= leastOf(k, FIRST) && leastOf(q, LAST) > greatestOf(k, FIRST);
  return one && inside && covered ? ALL : SOME;
}

/** Four lanes of queries against a key that is repeated, or the other way round: all ones where one sees the other. */
function sees(command: usize, q: usize, qSpan: usize, k: usize, kSpan: usize, lanesAreQueries: bool): v128 {
  const distance = i32x4.sub(lane(q + POSITION * qSpan, lanesAreQueries), lane(k + POSITION * kSpan, !lanesAreQueries));
  const row = lane(k + FIRST * kSpan, !lanesAreQueries);
  const near = v128.and(
    i32x4.ge_s(distance, i32x4.splat(signed(command, FROM))),
    i32x4.le_s(distance, i32x4.splat(signed(command, TO))),
  );
  const free = v128.or(lane(q + FREE * qSpan, lanesAreQueries), lane(k + FREE * kSpan, !lanesAreQueries));
  const same = i32x4.eq(lane(q + SEGMENT * qSpan, lanesAreQueries), lane(k + SEGMENT * kSpan, !lanesAreQueries));
  const after = i32x4.ge_s(row, lane(q + FIRST * qSpan, lanesAreQueries));
  const before = i32x4.lt_s(row, lane(q + LAST * qSpan, lanesAreQueries));
  const allowed = v128.and(i32x4.ge_s(distance, i32x4.splat(signed(command, LEAST))), v128.and(same, v128.and(after, before)));
  return v128.and(allowed, v128.or(near, free));
}

function lane(at: usize, four: bool): v128 {
  return four ? v128.load(at) : v128.load_splat<i32>(at);
}

/**
 * Masks [panel of 8 lanes][block of the stream][8] of the streamed records that some lane sees; those that none sees are dropped, here and
 * in `stream`. Returns how many stay. `block`: places of a panel's masks.
 */
export function maskStream(
  command: usize, lanes: usize, lanesSpan: usize, panels: u32, stream: usize, streamSpan: usize, count: u32, masks: usize, block: u32,
  lanesAreQueries: bool,
): u32 {
  let kept: u32 = 0;
  for (let j: u32 = 0; j < count; j++) {
    const record = stream + (j << 2);
    let any = i32x4.splat(0);
    let to = masks + (kept << 5);
    for (let half: u32 = 0; half < panels << 1; half++) {
      const at = lanes + (half << 4);
      const mask = lanesAreQueries
        ? sees(command, at, lanesSpan, record, streamSpan, true)
        : sees(command, record, streamSpan, at, lanesSpan, false);
      v128.store(to + ((half & 1) << 4), mask);
      any = v128.or(any, mask);
      if (half & 1) to += block << 5;
    }
    if (!v128.any_true(any)) continue;
    if (kept != j) {
      for (let field: usize = 0; field < FIELDS; field++) {
        store<u32>(stream + (kept << 2) + field * streamSpan, load<u32>(record + field * streamSpan));
      }
    }
    kept++;
  }
  return kept;
}
