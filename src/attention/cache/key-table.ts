// The table of keys on the device: i32 [B, S, 3], position, segment and slot of what each row lists. Only rows that changed are written.
import type { Backend } from "../../backends/backend.js";
import { tensor } from "../../tensor/create.js";
import { keep } from "../../tensor/scope.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { HeldRow, HeldToken } from "./held-row.js";

const width = 3;
/** Changes that are no further apart are written together. */
const near = 32;

export class KeyTable {
  readonly #backend: Backend;
  #table: Tensor | undefined;
  /** What the table holds. */
  #mirror = new Int32Array(0);
  #rows: readonly HeldRow[] = [];

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** The table of these rows, with room for `capacity` tokens each. Another one only where batch or capacity changed. */
  of(rows: readonly HeldRow[], capacity: number): Tensor {
    if (this.#table?.shape[0] !== rows.length || this.#table.shape[1] !== capacity) {
      const mirror = new Int32Array(rows.length * capacity * width);
      rows.forEach((row, b) => {
        for (let place = 0; place < capacity; place++)
          mirror.set(cells(row.listed[place]), (b * capacity + place) * width);
      });
      const table = keep(tensor(this.#backend, mirror, [rows.length, capacity, width]));
      this.#table?.dispose();
      this.#table = table;
      this.#mirror = mirror;
      for (const row of rows) row.takeChanged();
    } else {
      rows.forEach((row, b) => {
        const all = row !== this.#rows[b];
        this.#write(row, b * capacity, all ? Array.from({ length: capacity }, (_, place) => place) : row.changed);
        row.takeChanged(); // only now: what a failed write leaves is still to be written
      });
    }
    this.#rows = [...rows];
    return this.#table;
  }

  /** The next one is another tensor. */
  dispose(): void {
    this.#table?.dispose();
    this.#table = undefined;
  }

  #write(row: HeldRow, base: number, places: readonly number[]): void {
    const sorted = Int32Array.from(places).sort();
    for (let i = 0; i < sorted.length;) {
      const first = sorted[i];
      let last = first;
      for (; i < sorted.length && sorted[i] <= last + near; i++) {
        last = sorted[i];
        this.#mirror.set(cells(row.listed[last]), (base + last) * width);
      }
      const [from, to] = [(base + first) * width, (base + last + 1) * width];
      this.#table?.write(this.#mirror.subarray(from, to), from);
    }
  }
}

function cells(token: HeldToken | undefined): readonly [position: number, segment: number, slot: number] {
  return token ? [token.position, token.segment, token.slot] : [-1, -1, -1];
}
