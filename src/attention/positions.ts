// Where tokens stand and whom they may see: host-side positions, and the two integer tables that the attention op reads.
import type { Backend } from "../backends/backend.js";
import { IndexError, ShapeError } from "../core/errors.js";
import { tensor } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import { turnRows } from "./rope/turn-rows.js";

/** On the host, [B, T], row-major. */
export interface Positions {
  readonly shape: readonly [batch: number, tokens: number];
  /** Place in the text, from 0; -1 is padding, on either side. */
  readonly position: Int32Array;
  /** Tokens see their own segment only; `~segment` marks a global token. */
  readonly segment: Int32Array;
  /**
   * [3, B, T]: the places in time, height and width by which RoPE turns a token, if they are other than `position` (multimodal RoPE). What
   * a token sees follows from `position` alone.
   */
  readonly places?: Int32Array;
}

/** The tables of one forward pass, made once and shared by all layers. */
export interface Step {
  /** i32 [B, T]: row of the RoPE table that belongs to the step. */
  readonly rows: Tensor;
  /** i32 [B, T]: where each token's key and value go. */
  readonly slots: Tensor;
  /** i32 [B, T, 4]: position, segment, first row of `keys`, row after the last. */
  readonly queries: Tensor;
  /** i32 [B, S, 3]: position, segment, slot. */
  readonly keys: Tensor;
  /** At least one more than the greatest position: where the RoPE table may end. */
  readonly length: number;
  /** The position that the RoPE table's first row belongs to; 0 unless given. */
  readonly firstRow?: number;
  /** How many tokens the text may come to hold: the cache's `maxLength`; without a cache, `length`. */
  readonly maxLength: number;
  /** [3, B, T], where time, height and width of some token differ: then the table has one row per token. */
  readonly places?: Int32Array;
  /** Whether tokens may see later ones by it; causal attention takes such a step as well. */
  readonly bidirectional?: boolean;
  /** The widest window whose keys are all listed in `keys`; everything, where it is 0 or left out. */
  readonly window?: number;
  /** Behind that window, so many first positions are listed as well. */
  readonly sinks?: number;
}

export interface SequenceOptions {
  /** Position of each row's first token: what a cache already holds. 0 unless given. */
  readonly start?: readonly number[];
  /** 1 for a token, 0 for padding, one array per row. */
  readonly mask?: readonly ArrayLike<number>[];
  /**
   * Per row, what RoPE adds to a token's position: after images, the greatest of their places plus one, less the tokens up to there
   * (transformers: rope_deltas). 0 unless given.
   */
  readonly ropeDelta?: readonly number[];
}

/**
 * Positions of `batch` rows of `tokens` tokens, counted from `start` over what the mask lets through.
 * @throws ShapeError if a mask, `start` or `ropeDelta` does not fit, IndexError if a start is no position
 */
export function sequencePositions(
  batch: number,
  tokens: number,
  { start, mask, ropeDelta }: SequenceOptions = {},
): Positions {
  for (const [name, list] of Object.entries({ start, ropeDelta }))
    if (list && list.length !== batch)
      throw new ShapeError(`positions: ${name} must hold ${batch} numbers, one per row, got ${list.length}`);
  if (mask && (mask.length !== batch || mask.some((row) => row.length !== tokens))) {
    throw new ShapeError(
      `positions: mask must hold ${batch} rows of ${tokens}, got ${mask.length} of ${mask.map((row) => row.length).join(", ")}`,
    );
  }
  const bad = start?.find((from) => !Number.isInteger(from) || from < 0);
  if (bad !== undefined) throw new IndexError(`positions: start must hold integers of at least 0, got ${bad}`);
  const position = new Int32Array(batch * tokens);
  for (let row = 0; row < batch; row++) {
    let next = start?.[row] ?? 0;
    for (let t = 0; t < tokens; t++) position[row * tokens + t] = mask && !mask[row][t] ? -1 : next++;
  }
  const positions = { shape: [batch, tokens], position, segment: new Int32Array(batch * tokens) } as const;
  if (!ropeDelta) return positions;
  const places = Int32Array.from({ length: 3 * position.length }, (_, i) => {
    const place = position[i % position.length];
    return place < 0 ? place : place + ropeDelta[Math.floor((i % position.length) / tokens)];
  });
  return { ...positions, places };
}

/**
 * @throws ShapeError if the arrays do not hold batch x tokens numbers, places thrice as many; IndexError if a position is under -1, or a place
 *   of a token under 0
 */
export function checkPositions({ shape, position, segment, places }: Positions): void {
  const count = shape[0] * shape[1];
  if (position.length !== count || segment.length !== count) {
    throw new ShapeError(
      `positions: position and segment must hold ${count} numbers for [${shape.join(",")}], got ${position.length} and ${segment.length}`,
    );
  }
  if (places && places.length !== 3 * count)
    throw new ShapeError(
      `positions: places must hold ${3 * count} numbers, [3,${shape.join(",")}], got ${places.length}`,
    );
  const bad = position.findIndex((p) => p < -1);
  if (bad >= 0)
    throw new IndexError(`positions: each must be at least -1 (padding), got ${position[bad]} at element ${bad}`);
  const lost = places?.findIndex((place, i) => place < (position[i % count] < 0 ? -1 : 0)) ?? -1;
  if (lost >= 0)
    throw new IndexError(
      `positions: places must be at least 0, or -1 for padding, got ${places?.[lost]} at element ${lost}`,
    );
}

export const isPadded = ({ position }: Positions): boolean => position.includes(-1);

interface Segment {
  readonly first: number;
  last: number;
  /** The greatest position so far. */
  peak: number;
  ascending: boolean;
}

/**
 * The tokens of one batch row, in the order of their table rows: outside of which range of rows each of them sees nothing. Where positions
 * ascend within a segment, a causal query sees nothing after itself.
 */
export class VisibleRows {
  readonly #segments = new Map<number, Segment>();
  #length = 0;

  append(position: number, mark: number): void {
    const row = this.#length++;
    if (position < 0) return;
    const segment = this.#segments.get(segmentOf(mark));
    if (segment === undefined) {
      this.#segments.set(segmentOf(mark), { first: row, last: row, peak: position, ascending: true });
      return;
    }
    segment.last = row;
    if (position <= segment.peak) segment.ascending = false;
    else segment.peak = position;
  }

  /** For the token of a row: the first row that it may see, and the one after the last. */
  rangeOf(row: number, position: number, mark: number, causal: boolean): readonly [first: number, end: number] {
    const segment = this.#segments.get(segmentOf(mark));
    if (position < 0 || segment === undefined) return [0, 0];
    return [segment.first, (causal && segment.ascending ? row : segment.last) + 1];
  }
}

/** A global token is marked by the complement. */
export const segmentOf = (mark: number): number => (mark < 0 ? ~mark : mark);

/**
 * Tables for a whole pass without a cache: the pools are the call's own keys and values, and slots are row numbers.
 * @param causal whether the attention that reads them is; ranges end at the query then
 */
export function stepWithoutCache(backend: Backend, positions: Positions, causal = true): Step {
  checkPositions(positions);
  const [batch, tokens] = positions.shape;
  const { position, segment } = positions;
  const { rows, ...turns } = turnRows(position, positions.places);
  const slots = Int32Array.from({ length: batch * tokens }, (_, i) => i);
  const queries = new Int32Array(batch * tokens * 4);
  const keys = new Int32Array(batch * tokens * 3);
  for (let row = 0; row < batch; row++) {
    const from = row * tokens;
    const visible = new VisibleRows();
    for (let i = from; i < from + tokens; i++) visible.append(position[i], segment[i]);
    for (let t = 0; t < tokens; t++) {
      const i = from + t;
      queries.set([position[i], segment[i], ...visible.rangeOf(t, position[i], segment[i], causal)], 4 * i);
      keys.set([position[i], segment[i], slots[i]], 3 * i);
    }
  }
  return {
    rows: tensor(backend, rows, [batch, tokens]),
    slots: tensor(backend, slots, [batch, tokens]),
    queries: tensor(backend, queries, [batch, tokens, 4]),
    keys: tensor(backend, keys, [batch, tokens, 3]),
    ...turns,
    maxLength: turns.length,
    bidirectional: !causal,
  };
}
