// The plain cache: every token keeps a slot of its own until it is dropped. Memory doubles as texts grow.
import type { Backend } from "../../backends/backend.js";
import { CapacityError, ConfigError, DisposedError, IndexError, ShapeError } from "../../core/errors.js";
import { sameShape, type Shape } from "../../core/shape.js";
import { zeros } from "../../ops/fill.js";
import { writeSlice } from "../../ops/write-slice.js";
import { tensor } from "../../tensor/create.js";
import { keep, scope } from "../../tensor/scope.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkPositions, type Positions, type Step } from "../positions.js";
import { turnRows } from "../rope/turn-rows.js";
import { HeldTokens } from "./held-tokens.js";
import type { KVCache, Pool } from "./kv-cache.js";
import { Slots } from "./slots.js";

export interface DenseCacheOptions {
  readonly numHiddenLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
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

export class DenseCache implements KVCache {
  readonly maxLength: number;
  readonly #backend: Backend;
  readonly #options: DenseCacheOptions;
  readonly #slots = new Slots();
  readonly #held: HeldTokens;
  #pools: { k: Tensor; v: Tensor }[] = [];
  #capacity: number;
  #disposed = false;

  /** @throws ConfigError if a size is no positive integer */
  constructor(backend: Backend, options: DenseCacheOptions) {
    const { batch = 1, maxLength, capacity = Math.min(256, maxLength) } = options;
    for (const [name, value] of Object.entries({ ...options, batch, capacity })) {
      if (!Number.isInteger(value) || value < 1)
        throw new ConfigError(`DenseCache: ${name} must be a positive integer, got ${value}`);
    }
    this.maxLength = maxLength;
    this.#backend = backend;
    this.#options = options;
    this.#capacity = Math.min(capacity, maxLength);
    this.#held = new HeldTokens(backend, this.#slots, batch);
  }

  get lengths(): readonly number[] {
    return this.#held.lengths;
  }

  begin(next: Positions, before?: Step): Step {
    this.#live();
    checkPositions(next);
    this.#makeRoomFor(next);
    const lengths = this.lengths;
    try {
      const { rows, length: reached, places } = turnRows(next.position, next.places);
      const tables = { rows, ...this.#tables(next, lengths) };
      const keys = this.#held.keys(this.#capacity);
      const fits = before && sameShape(before.rows.shape, next.shape) && reached <= before.length;
      // Places of their own have a table of their own, which a recording cannot change.
      if (fits && before.keys === keys && !places && !before.places) {
        for (const name of stepTables) before[name].write(tables[name]);
        return before;
      }
      // Room for all that the pools can hold, so that steps to come fit as well.
      const length = Math.max(reached, this.#capacity);
      return { ...this.#upload(tables, next.shape), keys, length, maxLength: this.maxLength, places };
    } catch (error) {
      lengths.forEach((length, row) => this.#held.truncate(row, length));
      throw error;
    }
  }

  pool(layer: number): Pool {
    this.#live();
    if (!(layer in this.#pools)) {
      throw new IndexError(
        `cache: layer must be an integer of 0 to ${this.#pools.length - 1} (after begin), got ${layer}`,
      );
    }
    return this.#pools[layer];
  }

  truncateTo(length: number, row?: number): void {
    this.#live();
    for (const each of this.#rows(row)) this.#held.expectLength("truncateTo", each, length);
    for (const each of this.#rows(row)) this.#held.truncate(each, length);
  }

  removeLast(count: number, row?: number): void {
    this.#live();
    for (const each of this.#rows(row)) this.#held.expectLength("removeLast", each, count);
    for (const each of this.#rows(row)) this.#held.truncate(each, this.lengths[each] - count);
  }

  select(rows: readonly number[]): void {
    this.#live();
    this.#held.select(rows);
  }

  dispose(): void {
    this.#disposed = true;
    this.#held.dropTable();
    for (const { k, v } of this.#pools.splice(0)) {
      k.dispose();
      v.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Gives each token a slot. */
  #tables(next: Positions, lengths: readonly number[]): Omit<Tables, "rows"> {
    const [batch, tokens] = next.shape;
    const slots = new Int32Array(batch * tokens).fill(-1);
    const queries = new Int32Array(batch * tokens * 4).fill(-1);
    for (let row = 0; row < batch; row++) {
      const own = Array.from({ length: tokens }, (_, t) => row * tokens + t).filter((i) => next.position[i] >= 0);
      for (const i of own) {
        slots[i] = this.#slots.take();
        this.#held.append(row, next.position[i], next.segment[i], slots[i]);
      }
      own.forEach((i, n) => {
        queries.set([next.position[i], next.segment[i], ...this.#held.rangeOf(row, lengths[row] + n)], 4 * i);
      });
    }
    return { slots, queries };
  }

  #upload({ rows, slots, queries }: Tables, shape: Shape): Pick<Step, keyof Tables> {
    return scope(() => ({
      rows: tensor(this.#backend, rows, shape),
      slots: tensor(this.#backend, slots, shape),
      queries: tensor(this.#backend, queries, [...shape, 4]),
    }));
  }

  /** Makes room for the tokens, or throws before anything has changed. */
  #makeRoomFor({ shape: [batch, tokens], position }: Positions): void {
    const { lengths } = this;
    if (batch !== lengths.length)
      throw new ShapeError(`cache: positions must have ${lengths.length} batch rows, got ${batch}`);
    const added = lengths.map(
      (_, row) => position.subarray(row * tokens, (row + 1) * tokens).filter((p) => p >= 0).length,
    );
    const counts = lengths.map((length, row) => length + added[row]);
    const full = counts.findIndex((count) => count > this.maxLength);
    if (full >= 0) {
      throw new CapacityError(
        `cache: row ${full} must hold at most maxLength ${this.maxLength} tokens, got ${lengths[full]} and ${added[full]} more; truncate it or make a longer cache`,
      );
    }
    while (this.#capacity < Math.max(...counts)) this.#capacity = Math.min(2 * this.#capacity, this.maxLength);
    const missing = added.reduce((sum, count) => sum + count, 0) - this.#slots.available;
    if (missing > 0 || this.#pools.length === 0) {
      this.#growTo(Math.max(this.#slots.capacity + missing, batch * this.#capacity));
    }
  }

  /** Larger pools with the same content. All are made before any is replaced, so running out of memory loses nothing. */
  #growTo(slots: number): void {
    const { numHiddenLayers, numKeyValueHeads, headDim } = this.#options;
    const made: Tensor[] = [];
    try {
      for (let i = 0; i < 2 * numHiddenLayers; i++)
        made.push(keep(zeros(this.#backend, [slots, numKeyValueHeads, headDim])));
    } catch (error) {
      for (const pool of made) pool.dispose();
      throw error;
    }
    const before = this.#pools;
    this.#pools = Array.from({ length: numHiddenLayers }, (_, layer) => ({
      k: made[2 * layer],
      v: made[2 * layer + 1],
    }));
    before.forEach(({ k, v }, layer) => {
      writeSlice(k, this.#pools[layer].k, [0, 0, 0]);
      writeSlice(v, this.#pools[layer].v, [0, 0, 0]);
      k.dispose();
      v.dispose();
    });
    this.#slots.growTo(slots);
    this.#held.dropTable(); // so that no earlier step goes on with the pools that are gone
  }

  #rows(row: number | undefined): readonly number[] {
    return row === undefined ? this.lengths.map((_, each) => each) : [row];
  }

  #live(): void {
    if (this.#disposed) throw new DisposedError("cache: it was used after it was disposed; make a new one");
  }
}
