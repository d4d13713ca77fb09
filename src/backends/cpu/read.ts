// From views to typed arrays: a plain view is a window over its storage, a packed one is decoded row by row.
import { elementsOver, type Elements } from "../../core/dtype.js";
import { BackendError } from "../../core/errors.js";
import { rowsOf, sizeOf } from "../../core/shape.js";
import { isPackedView, type Matrix, type PackedView, type View } from "../../core/view.js";
import { rowDecoder, type RowDecoder, type Words } from "../../quant/schemes/scheme.js";
import { schemeNamed } from "../../quant/schemes/schemes.js";
import { cpuStorage } from "./memory.js";

export function floats(view: View): Float32Array<ArrayBuffer> {
  return new Float32Array(cpuStorage(view.storage).buffer, view.offset * 4, sizeOf(view.shape));
}

export function ints(view: View): Int32Array<ArrayBuffer> {
  return new Int32Array(cpuStorage(view.storage).buffer, view.offset * 4, sizeOf(view.shape));
}

/** The bits of any view: what ops that only move numbers work on. */
export function words(view: View): Uint32Array<ArrayBuffer> {
  return new Uint32Array(cpuStorage(view.storage).buffer, view.offset * 4, sizeOf(view.shape));
}

/** The numbers of any view, by its own type. */
export function elements(view: View): Elements {
  return elementsOver(view.dtype, cpuStorage(view.storage).buffer, view.offset * 4, sizeOf(view.shape));
}

/** The parts of a packed view, as its scheme takes them. @throws BackendError if its words are in another order than "plain". */
export function partWords(packed: PackedView): Words[] {
  if (packed.layout !== "plain") {
    throw new BackendError(
      `cpu: packed operands must have layout "plain", got "${packed.layout}"; repack them with layout "plain" on the backend they came from`,
    );
  }
  return packed.parts.map((part) => (part.dtype === "f32" ? floats(part) : words(part)));
}

/** Rows of a packed matrix that are decoded at a time: enough for register blocks, few enough to stay in cache. */
const PANEL_ROWS = 64;

/**
 * The rows (all axes but the last taken together) of a matrix as f32, at most `limit` at a time:
 * `at = rows.load(first, count)`, then row first + i begins at `rows.array[at + i * rows.width]`.
 */
export class MatrixRows {
  readonly width: number;
  readonly limit: number;
  readonly array: Float32Array;
  readonly #decodeRow: RowDecoder | undefined;

  constructor(matrix: Matrix) {
    const { rows, width } = rowsOf(matrix.shape);
    this.width = width;
    if (isPackedView(matrix)) {
      this.limit = Math.min(rows, PANEL_ROWS);
      this.array = new Float32Array(this.limit * width);
      this.#decodeRow = rowDecoder(schemeNamed("cpu", matrix.scheme), partWords(matrix), matrix.shape);
    } else {
      this.limit = rows;
      this.array = floats(matrix);
    }
  }

  load(first: number, count: number): number {
    if (this.#decodeRow === undefined) return first * this.width;
    for (let i = 0; i < count; i++) this.#decodeRow(first + i, this.array, i * this.width);
    return 0;
  }

  /** The transpose of `count` rows, [width, count]: what the gradient of a product multiplies by. */
  loadTransposed(first: number, count: number): Float32Array<ArrayBuffer> {
    const out = new Float32Array(this.width * count);
    for (let from = 0; from < count; from += this.limit) {
      const to = Math.min(from + this.limit, count);
      let at = this.load(first + from, to - from);
      for (let row = from; row < to; row++) {
        for (let i = 0; i < this.width; i++) out[i * count + row] = this.array[at++];
      }
    }
    return out;
  }
}
