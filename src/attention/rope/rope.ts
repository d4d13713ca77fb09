// The RoPE table on a device. Made on the host, because devices' sines are too coarse, and grown or moved on as texts get longer.
import type { Backend } from "../../backends/backend.js";
import type { Tensor } from "../../tensor/tensor.js";
import { tensor } from "../../tensor/create.js";
import { keep } from "../../tensor/scope.js";
import { leastLengthLike, ropeFrequencies, ropeTable } from "./frequencies.js";
import { mropeTable } from "./mrope.js";
import { checkRopeOptions, type RopeOptions } from "./rope-options.js";
import type { TurnRows } from "./turn-rows.js";

const rowsPerGrowth = 4096;

/** What the table of a step depends on. */
export interface TableNeeds extends Pick<TurnRows, "length" | "places" | "firstRow"> {
  /** How many tokens the text may come to hold. */
  readonly maxLength: number;
}

/** Rows by position, of the frequencies of texts of `length` tokens. */
interface PositionTable {
  readonly table: Tensor;
  readonly length: number;
  readonly firstRow: number;
}

/** Cosines and sines by position; layers with the same rule share one. */
export class Rope implements Disposable {
  readonly options: RopeOptions;
  readonly #backend: Backend;
  readonly #headDim: number;
  #byPosition: PositionTable | undefined;
  /** For texts whose beginning no call turns any more. */
  #further: PositionTable | undefined;
  #byToken: { readonly table: Tensor; readonly places: Int32Array } | undefined;

  /** @throws ConfigError if an option is out of range or headDim is odd */
  constructor(backend: Backend, headDim: number, options: RopeOptions) {
    this.options = checkRopeOptions(headDim, options);
    this.#backend = backend;
    this.#headDim = headDim;
  }

  /**
   * A table of at least `length` rows: f32 [rows, r], r/2 cosines and then r/2 sines per position. It belongs to this object and is replaced
   * when it grows, and when `maxLength` asks for other frequencies ("dynamic", "longrope").
   * @param maxLength how many tokens the text may come to hold; `length` if left out
   * @throws RecordingError if it must be made inside `record`
   */
  table(length: number, maxLength: number = length): Tensor {
    this.#byPosition = this.#reaching(this.#byPosition, 0, length, maxLength);
    return this.#byPosition.table;
  }

  /**
   * The table that a step's rows refer to: {@link table}, or, where the step says so, one that begins at a later position; or, where a token's
   * time, height and width differ, one of the step's own. These two are made for its first layer and replaced with the next step of the kind that
   * needs other rows.
   * @throws ConfigError if it needs `mropeSection` and the options have none, RecordingError if it must be made inside `record`
   */
  tableFor({ length, maxLength, places, firstRow = 0 }: TableNeeds): Tensor {
    if (places === undefined) {
      if (firstRow === 0) return this.table(length, maxLength);
      this.#further = this.#reaching(this.#further, firstRow, length, maxLength);
      return this.#further.table;
    }
    const before = this.#byToken;
    if (before?.places === places) return before.table;
    const frequencies = ropeFrequencies(this.#headDim, this.options, maxLength);
    const table = this.#upload(mropeTable(frequencies, this.options, places), places.length / 3);
    before?.table.dispose();
    this.#byToken = { table, places };
    return table;
  }

  dispose(): void {
    this.#byPosition?.table.dispose();
    this.#further?.table.dispose();
    this.#byToken?.table.dispose();
    this.#byPosition = this.#further = this.#byToken = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The one before if it suffices. */
  #reaching(before: PositionTable | undefined, firstRow: number, end: number, maxLength: number): PositionTable {
    const length = leastLengthLike(this.options, maxLength);
    const needed = end - firstRow;
    if (before?.length === length && before.firstRow === firstRow && before.table.shape[0] >= needed) return before;
    const rows = Math.max(1, Math.ceil(needed / rowsPerGrowth)) * rowsPerGrowth;
    const table = this.#upload(ropeTable(ropeFrequencies(this.#headDim, this.options, length), firstRow, rows), rows);
    before?.table.dispose();
    return { table, length, firstRow };
  }

  #upload(values: Float32Array<ArrayBuffer>, rows: number): Tensor {
    return keep(tensor(this.#backend, values, [rows, values.length / rows]));
  }
}
