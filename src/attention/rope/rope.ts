// The RoPE table on a device. Made on the host, because devices' sines are too coarse, and grown as texts get longer.
import type { Backend } from "../../backends/backend.js";
import type { Tensor } from "../../tensor/tensor.js";
import { tensor } from "../../tensor/create.js";
import { keep } from "../../tensor/scope.js";
import { ropeFrequencies, ropeTable } from "./frequencies.js";
import type { RopeFrequencies } from "./default.js";
import type { RopeOptions } from "./rope-options.js";

const rowsPerGrowth = 4096;

/** Cosines and sines by position; layers with the same rule share one. */
export class Rope implements Disposable {
  readonly options: RopeOptions;
  readonly #backend: Backend;
  readonly #frequencies: RopeFrequencies;
  #table: Tensor | undefined;

  /** @throws ConfigError if an option is out of range or headDim is odd */
  constructor(backend: Backend, headDim: number, options: RopeOptions) {
    this.#backend = backend;
    this.options = options;
    this.#frequencies = ropeFrequencies(headDim, options);
  }

  /**
   * A table of at least `length` rows: f32 [rows, r], r/2 cosines and then r/2 sines per position. It belongs to this object and is replaced
   * when it grows.
   * @throws RecordingError if it must grow inside `record`
   */
  table(length: number): Tensor {
    const before = this.#table;
    if (before && before.shape[0] >= length) return before;
    const rows = Math.max(1, Math.ceil(length / rowsPerGrowth)) * rowsPerGrowth;
    const width = 2 * this.#frequencies.inverseFrequencies.length;
    const grown = keep(tensor(this.#backend, ropeTable(this.#frequencies, 0, rows), [rows, width]));
    before?.dispose();
    this.#table = grown;
    return grown;
  }

  dispose(): void {
    this.#table?.dispose();
    this.#table = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
