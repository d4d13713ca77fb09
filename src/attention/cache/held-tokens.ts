// Which tokens each batch row holds, in which slots, and the table of keys made from that. The part that all caches share.
import { IndexError } from "../../core/errors.js";
import type { Backend } from "../../backends/backend.js";
import { tensor } from "../../tensor/create.js";
import type { Tensor } from "../../tensor/tensor.js";
import { keep } from "../../tensor/scope.js";
import { VisibleRows } from "../positions.js";
import type { Slots } from "./slots.js";

interface Row {
  readonly position: number[];
  readonly segment: number[];
  readonly slot: number[];
  visible: VisibleRows;
  /** Table rows from here on do not show what the row holds. */
  stale: number;
}

const keyWidth = 3;

export class HeldTokens {
  readonly #backend: Backend;
  readonly #slots: Slots;
  #rows: Row[];
  /** What the device's table holds: i32 [B, S, 3]. */
  #mirror = new Int32Array(0);
  #table: Tensor | undefined;

  constructor(backend: Backend, slots: Slots, batch: number) {
    this.#backend = backend;
    this.#slots = slots;
    this.#rows = Array.from({ length: batch }, () => ({
      ...{ position: [], segment: [], slot: [] },
      ...{ visible: new VisibleRows(), stale: 0 },
    }));
  }

  get batch(): number {
    return this.#rows.length;
  }

  get lengths(): readonly number[] {
    return this.#rows.map(({ slot }) => slot.length);
  }

  /** Of a row's i-th token: the table rows that it may see, where attention is causal. */
  rangeOf(row: number, i: number): readonly [first: number, end: number] {
    const { position, segment, visible } = this.#rows[row];
    return visible.rangeOf(i, position[i], segment[i], true);
  }

  append(row: number, position: number, segment: number, slot: number): void {
    const into = this.#rows[row];
    into.position.push(position);
    into.segment.push(segment);
    into.slot.push(slot);
    into.visible.append(position, segment);
  }

  /** @throws IndexError unless the row exists and holds at least `length` tokens */
  expectLength(what: string, row: number, length: number): void {
    this.#check(what, row);
    const held = this.#rows[row].slot.length;
    if (Number.isInteger(length) && length >= 0 && length <= held) return;
    throw new IndexError(`${what}: it must be an integer of 0 to the ${held} tokens of row ${row}, got ${length}`);
  }

  /** Drops the tokens after the first `length`; the caller has checked that the row holds as many. */
  truncate(row: number, length: number): void {
    const held = this.#rows[row];
    if (length === held.slot.length) return;
    for (const dropped of held.slot.splice(length)) this.#slots.release(dropped);
    held.position.length = length;
    held.segment.length = length;
    held.visible = visibleRows(held);
    held.stale = Math.min(held.stale, length);
  }

  /** @throws IndexError if a row does not exist */
  select(rows: readonly number[]): void {
    for (const row of rows) this.#check("select", row);
    const chosen = rows.map((row): Row => {
      const { position, segment, slot } = this.#rows[row];
      for (const shared of slot) this.#slots.hold(shared);
      const visible = visibleRows({ position, segment });
      return { position: [...position], segment: [...segment], slot: [...slot], visible, stale: 0 };
    });
    for (const { slot } of this.#rows) for (const left of slot) this.#slots.release(left);
    this.#rows = chosen;
  }

  /** The table of all tokens held, S = `capacity` rows each; only rows that changed are written. */
  keys(capacity: number): Tensor {
    const batch = this.batch;
    if (!this.#table || this.#table.shape[0] !== batch || this.#table.shape[1] !== capacity) {
      const mirror = new Int32Array(batch * capacity * keyWidth).fill(-1);
      const table = keep(tensor(this.#backend, mirror, [batch, capacity, keyWidth]));
      this.#table?.dispose();
      this.#table = table;
      this.#mirror = mirror;
      for (const row of this.#rows) row.stale = 0;
    }
    this.#rows.forEach((row, b) => this.#update(row, b * capacity, capacity));
    return this.#table;
  }

  /** The next one is another tensor. */
  dropTable(): void {
    this.#table?.dispose();
    this.#table = undefined;
  }

  #update(row: Row, base: number, capacity: number): void {
    const { position, segment, slot } = row;
    const from = row.stale;
    let end = from;
    for (let i = from; i < capacity && (i < slot.length || this.#mirror[(base + i) * keyWidth] !== -1); i++, end++) {
      const held = i < slot.length;
      this.#mirror.set(held ? [position[i], segment[i], slot[i]] : [-1, -1, -1], (base + i) * keyWidth);
    }
    row.stale = slot.length;
    if (end > from)
      this.#table?.write(
        this.#mirror.subarray((base + from) * keyWidth, (base + end) * keyWidth),
        (base + from) * keyWidth,
      );
  }

  #check(what: string, row: number): void {
    if (Number.isInteger(row) && row >= 0 && row < this.batch) return;
    throw new IndexError(`${what}: row must be an integer of 0 to ${this.batch - 1}, got ${row}`);
  }
}

function visibleRows({ position, segment }: Pick<Row, "position" | "segment">): VisibleRows {
  const visible = new VisibleRows();
  position.forEach((p, i) => visible.append(p, segment[i]));
  return visible;
}
