// The RoPE table on a device. Made on the host, because devices' sines are too coarse, and grown as texts get longer.
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
export interface TableNeeds extends Pick<TurnRows, "length" | "places"> {
  /** How many tokens the text may come to hold. */
  readonly maxLength: number;
}

/** Cosines and sines by position; layers with the same rule share one. */
export class Rope implements Disposable {
  readonly options: RopeOptions;
  readonly #backend: Backend;
  readonly #headDim: number;
  /** The frequencies of the table are those of texts of `length` tokens. */
  #byPosition: { readonly table: Tensor; readonly length: number } | undefined;
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
    const least = leastLengthLike(this.options, maxLength);
    const before = this.#byPosition;
    if (before?.length === least && before.table.shape[0] >= length) return before.table;
    const rows = Math.max(1, Math.ceil(length / rowsPerGrowth)) * rowsPerGrowth;
    const table = this.#upload(ropeTable(ropeFrequencies(this.#headDim, this.options, least), 0, rows), rows);
    before?.table.dispose();
    this.#byPosition = { table, length: least };
    return table;
  }

  /**
   * The table that a step's rows refer to: {@link table}, or, where a token's time, height and width differ, one of the step's own, which is
   * made for its first layer and replaced with the next step of the kind.
   * @throws ConfigError if it needs `mropeSection` and the options have none, RecordingError if it must be made inside `record`
   */
  tableFor({ length, maxLength, places }: TableNeeds): Tensor {
    if (places === undefined) return this.table(length, maxLength);
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
    this.#byToken?.table.dispose();
    this.#byPosition = this.#byToken = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #upload(values: Float32Array<ArrayBuffer>, rows: number): Tensor {
    return keep(tensor(this.#backend, values, [rows, values.length / rows]));
  }
}
