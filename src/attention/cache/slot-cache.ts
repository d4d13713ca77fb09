// What all caches share: texts whose tokens have slots in pools, and the tables of a step. A cache of one kind is this with a sight and a page
// size.
import type { Backend } from "../../backends/backend.js";
import { CapacityError, ConfigError, DisposedError, IndexError, ShapeError } from "../../core/errors.js";
import { sameShape, type Shape } from "../../core/shape.js";
import { tensor } from "../../tensor/create.js";
import { keep, scope } from "../../tensor/scope.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkPositions, segmentOf, type Positions, type Step } from "../positions.js";
import { turnRows } from "../rope/turn-rows.js";
import { HeldRow } from "./held-row.js";
import { KeyTable } from "./key-table.js";
import type { KVCache, Pool } from "./kv-cache.js";
import { Pools, type PoolOptions } from "./pools.js";
import { readTexts, savedTexts } from "./saved-texts.js";
import type { NextToken, Sight } from "./sight.js";
import { Slots } from "./slots.js";

/** What caches of all kinds are made from. */
export interface CacheOptions extends PoolOptions {
  /** Most tokens per batch row. */
  readonly maxLength: number;
  /** Batch rows; 1 unless given. */
  readonly batch?: number;
  /** Tokens per row to make room for at first; 256 or `maxLength`, whichever is less. */
  readonly capacity?: number;
}

/** What a step has of its own. */
const stepTables = ["rows", "slots", "queries"] as const;
type Tables = Record<(typeof stepTables)[number], Int32Array>;

/** RoPE tables grow by so many rows, and where the past is forgotten they move on by so many: until then, a recorded step serves. */
const positionsPerStep = 4096;

export class SlotCache implements KVCache {
  readonly maxLength: number;
  readonly #backend: Backend;
  readonly #sight: Sight;
  readonly #pageSize: number;
  readonly #pools: Pools;
  readonly #table: KeyTable;
  #slots: Slots;
  #rows: HeldRow[];
  /** Slots per row, beside those of `#kept`. */
  #capacity: number;
  /** Rows of the table. */
  #listable: number;
  /** Texts held aside, which no table lists. */
  readonly #kept = new Set<HeldRow>();
  #disposed = false;

  /** @throws ConfigError if a size is no positive integer, and as {@link Pools} does */
  constructor(kind: string, backend: Backend, options: CacheOptions, sight: Sight, pageSize: number) {
    const { numHiddenLayers, numKeyValueHeads, headDim, maxLength, batch = 1 } = options;
    const { capacity = Math.min(256, maxLength) } = options;
    const sizes = { numHiddenLayers, numKeyValueHeads, headDim, maxLength, batch, capacity, pageSize };
    const seen = { window: sight.window, sinks: sight.sinks };
    for (const [values, least, rule] of [
      [seen, 0, "an integer of at least 0"],
      [sizes, 1, "a positive integer"],
    ] as const)
      for (const [name, value] of Object.entries(values))
        if (!Number.isInteger(value) || value < least)
          throw new ConfigError(`${kind}: ${name} must be ${rule}, got ${value}`);
    this.maxLength = maxLength;
    this.#backend = backend;
    this.#sight = sight;
    this.#pageSize = pageSize;
    this.#pools = new Pools(backend, options);
    this.#table = new KeyTable(backend);
    this.#slots = new Slots(pageSize);
    this.#rows = Array.from({ length: batch }, () => new HeldRow(this.#slots, sight));
    this.#capacity = this.#listable = Math.min(capacity, maxLength);
  }

  get lengths(): readonly number[] {
    return this.#rows.map(({ length }) => length);
  }

  begin(next: Positions, before?: Step): Step {
    this.#live();
    checkPositions(next);
    const added = this.#expectNext(next);
    this.#rows.forEach((row, b) => row.listFor(added[b]));
    this.#makeRoomFor(added);
    const { lengths } = this;
    try {
      const { window, sinks, forgets } = this.#sight;
      const stride = forgets ? positionsPerStep : undefined;
      const { rows, length: reached, ...turns } = turnRows(next.position, next.places, stride);
      const tables = { rows, ...this.#tables(next) };
      const keys = this.#table.of(this.#rows, this.#listable);
      const turned = before && reached <= before.length && before.firstRow === turns.firstRow;
      const fits = turned && sameShape(before.rows.shape, next.shape);
      // Places of their own have a table of their own, which a recording cannot change.
      if (fits && before.keys === keys && !turns.places && !before.places) {
        for (const name of stepTables) before[name].write(tables[name]);
        return before;
      }
      // Room for all that the pools can hold, so that steps to come fit as well.
      const length = Math.max(Math.ceil(reached / positionsPerStep) * positionsPerStep, stride ?? this.#capacity);
      const { maxLength } = this;
      return { ...this.#upload(tables, next.shape), keys, length, maxLength, ...turns, window, sinks };
    } catch (error) {
      lengths.forEach((length, row) => this.#rows[row].truncate(length));
      throw error;
    }
  }

  pool(layer: number): Pool {
    this.#live();
    const { layers } = this.#pools;
    if (!(layer in layers)) {
      throw new IndexError(`cache: layer must be an integer of 0 to ${layers.length - 1} (after begin), got ${layer}`);
    }
    return layers[layer];
  }

  truncateTo(length: number, row?: number): void {
    this.#live();
    this.#truncate("truncateTo", row, () => length);
  }

  removeLast(count: number, row?: number): void {
    this.#live();
    this.#truncate("removeLast", row, (held) => held - count);
  }

  select(rows: readonly number[]): void {
    this.#live();
    const chosen = rows.map((row) => this.#row("select", row));
    const forks = chosen.map((row) => row.fork()); // hold first, lest a slot be free in between
    for (const row of this.#rows) row.release();
    this.#rows = forks;
  }

  /** Holds the first tokens of a row, whatever becomes of the row. @throws IndexError */
  protected keep(row: number, length: number): HeldRow {
    this.#live();
    const from = this.#row("keepPrefix", row);
    from.expectLength("keepPrefix", row, length);
    const kept = from.fork(length);
    this.#kept.add(kept);
    return kept;
  }

  /** Undoes {@link keep}. */
  protected drop(kept: HeldRow): void {
    if (this.#kept.delete(kept)) kept.release();
  }

  /** Lets an empty row begin with the first tokens of a text held aside, if any. @throws IndexError unless the row exists and is empty */
  protected resume(row: number, kept: HeldRow | undefined, length: number): void {
    this.#live();
    const { length: held } = this.#row("reusePrefix", row);
    if (held > 0)
      throw new IndexError(`reusePrefix: row ${row} must be empty, got ${held} tokens; truncate it to 0 first`);
    if (kept) this.#rows[row] = kept.fork(length);
  }

  async save(): Promise<Readonly<Record<string, Tensor>>> {
    this.#live();
    const saved = scope(() => {
      const { slots, texts } = savedTexts(this.#backend, this.#rows, this.#sight);
      return { ...texts, ...this.#pools.gather(slots) };
    });
    for (const made of Object.values(saved)) keep(made);
    return saved;
  }

  async load(saved: Readonly<Record<string, Tensor>>): Promise<void> {
    this.#live();
    const { texts, count } = await readTexts(saved, this.#sight, this.maxLength);
    this.#live();
    const longest = Math.max(1, ...texts.map(({ tokens }) => tokens.length));
    const capacity = Math.max(this.#capacity, longest);
    const room = this.#wholePages(Math.max(1, count, texts.length * capacity));
    this.#pools.load(saved, count, room);
    const slots = new Slots(this.#pageSize);
    slots.growTo(room);
    // The first slots, in order, however many texts then hold each.
    const taken = Array.from({ length: count }, (_, slot) => (slots.hold(slots.take(slot - 1)), slot));
    this.#rows = texts.map((text) => HeldRow.of(slots, this.#sight, text));
    for (const slot of taken) slots.release(slot);
    this.#slots = slots;
    this.#capacity = capacity;
    this.#listable = Math.max(this.#listable, ...this.#rows.map(({ listed }) => listed.length));
    this.#kept.clear(); // their slots are gone
    this.#table.dispose(); // so that no earlier step goes on with the pools that are gone
  }

  dispose(): void {
    this.#disposed = true;
    this.#table.dispose();
    this.#pools.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** What comes to each row. @throws ShapeError, CapacityError, IndexError; nothing has changed then */
  #expectNext({ shape: [batch, tokens], position, segment }: Positions): NextToken[][] {
    if (batch !== this.#rows.length)
      throw new ShapeError(`cache: positions must have ${this.#rows.length} batch rows, got ${batch}`);
    return this.#rows.map((row, b) => {
      const added: NextToken[] = [];
      for (let i = b * tokens; i < (b + 1) * tokens; i++)
        if (position[i] >= 0) added.push({ position: position[i], segment: segment[i] });
      if (row.length + added.length > this.maxLength) {
        throw new CapacityError(
          `cache: row ${b} must hold at most maxLength ${this.maxLength} tokens, got ${row.length} and ${added.length} more; truncate it or make a longer cache`,
        );
      }
      row.expectNext(b, added);
      return added;
    });
  }

  /** Gives each token a slot. */
  #tables({ shape: [batch, tokens], position, segment }: Positions): Omit<Tables, "rows"> {
    const slots = new Int32Array(batch * tokens).fill(-1);
    const queries = new Int32Array(batch * tokens * 4).fill(-1);
    this.#rows.forEach((row, b) => {
      const own = Array.from({ length: tokens }, (_, t) => b * tokens + t).filter((i) => position[i] >= 0);
      for (const i of own) {
        row.append({ position: position[i], segment: segment[i] });
        slots[i] = row.tokens[row.tokens.length - 1].slot;
      }
      own.forEach((i, n) => {
        const mark = this.#sight.forgets ? segmentOf(segment[i]) : segment[i];
        queries.set([position[i], mark, ...row.rangeOf(own.length - 1 - n)], 4 * i);
      });
    });
    return { slots, queries };
  }

  #upload({ rows, slots, queries }: Tables, shape: Shape): Pick<Step, keyof Tables> {
    return scope(() => ({
      rows: tensor(this.#backend, rows, shape),
      slots: tensor(this.#backend, slots, shape),
      queries: tensor(this.#backend, queries, [...shape, 4]),
    }));
  }

  /** Room for tokens in the table and in the pools, or an error before anything has grown. */
  #makeRoomFor(added: readonly (readonly NextToken[])[]): void {
    const { window, forgets } = this.#sight;
    const most = (of: (row: HeldRow, count: number) => number): number =>
      Math.max(...this.#rows.map((row, b) => of(row, added[b].length)));
    const listed = most((row, count) => Math.max(row.listed.length, row.listedCount + count));
    // What a window comes to list of a text without end; pinned tokens double, so that their growth is rare.
    const bound = Math.max(
      ...this.#rows.map((row, b) => window - 1 + added[b].length + 2 * (row.pinnedCount + row.pinnedAmong(added[b]))),
    );
    const listable = window === 0 ? this.maxLength : Math.min(this.maxLength, Math.max(listed, bound));
    const limit = forgets ? listable : this.maxLength;
    const capacity = grown(this.#capacity, most((row, count) => row.tokens.length + count), limit); // prettier-ignore
    const pages = this.#rows.reduce((sum, row, b) => sum + this.#slots.pagesFor(added[b].length, row.lastSlot), 0);
    const missing = pages - this.#slots.freePages;
    if (missing > 0 || this.#pools.layers.length === 0) {
      const kept = [...this.#kept].reduce((sum, { tokens }) => sum + tokens.length, 0);
      const enough = this.#slots.capacity + Math.max(0, missing) * this.#pageSize;
      const planned = Math.max(1, this.#wholePages(this.#rows.length * capacity + kept));
      // Forks leave pages that nobody fills: beyond the plan it grows by halves, lest every step copy the pools.
      const slots = enough <= planned ? planned : Math.max(enough, this.#wholePages(1.5 * this.#slots.capacity));
      this.#pools.growTo(slots);
      this.#slots.growTo(slots);
      this.#table.dispose(); // so that no earlier step goes on with the pools that are gone
    }
    this.#capacity = capacity;
    this.#listable = grown(this.#listable, listed, listable);
  }

  #wholePages(slots: number): number {
    return Math.ceil(slots / this.#pageSize) * this.#pageSize;
  }

  #truncate(what: string, row: number | undefined, to: (held: number) => number): void {
    const rows = row === undefined ? this.#rows : [this.#row(what, row)];
    rows.forEach((each, b) => each.expectLength(what, row ?? b, to(each.length)));
    for (const each of rows) each.truncate(to(each.length));
  }

  #row(what: string, row: number): HeldRow {
    if (Number.isInteger(row) && row >= 0 && row < this.#rows.length) return this.#rows[row];
    throw new IndexError(`${what}: row must be an integer of 0 to ${this.#rows.length - 1}, got ${row}`);
  }

  #live(): void {
    if (this.#disposed) throw new DisposedError("cache: it was used after it was disposed; make a new one");
  }
}

/** Doubled until it suffices, up to `limit`, which does. */
function grown(capacity: number, needed: number, limit: number): number {
  while (capacity < needed) capacity = Math.min(2 * capacity, limit);
  return capacity;
}
