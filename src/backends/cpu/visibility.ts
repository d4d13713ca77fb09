// Who sees whom: the two tables of attention, and the keys and values that one batch row may see, side by side.
import type { AttentionAttrs } from "../backend.js";
import type { MatrixRows } from "./read.js";

/** Columns of the tables: `queries` [B, T, 4], `keys` [B, S, 3]. */
const QUERY_COLUMNS = 4;
const KEY_COLUMNS = 3;

/** The key rows of batch row b that some query's range covers. */
export interface KeyRange {
  readonly first: number;
  readonly count: number;
}

/** The union of the ranges [first, last) of a batch row's queries, within its S key rows. */
export function keyRange(queries: Int32Array, batch: number, tokens: number, keyRows: number): KeyRange {
  let first = keyRows;
  let last = 0;
  for (let t = 0; t < tokens; t++) {
    const at = (batch * tokens + t) * QUERY_COLUMNS;
    if (queries[at] < 0 || queries[at + 2] >= queries[at + 3]) continue;
    first = Math.min(first, Math.max(queries[at + 2], 0));
    last = Math.max(last, Math.min(queries[at + 3], keyRows));
  }
  return { first, count: Math.max(last - first, 0) };
}

/** The slot of each key row in the range; -1 for a hidden one, whose slot may hold anything. */
export function slotsOf(keys: Int32Array, batch: number, keyRows: number, range: KeyRange): Int32Array {
  const slots = new Int32Array(range.count);
  for (let i = 0; i < range.count; i++) {
    const at = (batch * keyRows + range.first + i) * KEY_COLUMNS;
    slots[i] = keys[at] < 0 ? -1 : keys[at + 2];
  }
  return slots;
}

/** Pool rows of these slots as [Hkv, slots, d]; a slot out of range counts as zeros, as gatherRows has it. */
export function gatherPool(
  pool: MatrixRows,
  poolSlots: number,
  heads: number,
  slots: Int32Array,
): Float32Array<ArrayBuffer> {
  const size = pool.width;
  const panel = new Float32Array(heads * slots.length * size);
  for (let i = 0; i < slots.length; i++) {
    if (slots[i] < 0 || slots[i] >= poolSlots) continue;
    for (let head = 0; head < heads; head++) {
      const at = pool.load(slots[i] * heads + head, 1);
      const to = (head * slots.length + i) * size;
      for (let j = 0; j < size; j++) panel[to + j] = pool.array[at + j];
    }
  }
  return panel;
}

/**
 * The key rows that query (batch, token) sees, counted from range.first, into `visible` from `at` on, in
 * rising order; returns where they end. Visible iff both positions are
 * >= 0, the segments agree (a global token carries ~segment), kp <= qp when causal, and one of: no window, inside it, a sink, a global token.
 */
export function visibleKeys(
  queries: Int32Array,
  query: number,
  keys: Int32Array,
  batch: number,
  keyRows: number,
  range: KeyRange,
  attrs: AttentionAttrs,
  visible: Int32Array,
  at: number,
): number {
  const [position, segment, from, to] = queries.subarray(query * QUERY_COLUMNS, (query + 1) * QUERY_COLUMNS);
  if (position < 0) return at;
  const { causal, window, sinks } = attrs;
  const first = Math.max(from, range.first);
  const last = Math.min(to, range.first + range.count);
  let end = at;
  for (let row = first; row < last; row++) {
    const keyAt = (batch * keyRows + row) * KEY_COLUMNS;
    const keyPosition = keys[keyAt];
    const keySegment = keys[keyAt + 1];
    if (keyPosition < 0 || (causal && keyPosition > position)) continue;
    if (plainSegment(segment) !== plainSegment(keySegment)) continue;
    const distance = Math.abs(position - keyPosition);
    const near = window === 0 || (causal ? distance < window : distance <= window);
    if (near || keyPosition < sinks || segment < 0 || keySegment < 0) visible[end++] = row - range.first;
  }
  return end;
}

/** Segments are not negative, so a negative one is the complement that marks a global token. */
function plainSegment(segment: number): number {
  return segment < 0 ? ~segment : segment;
}
