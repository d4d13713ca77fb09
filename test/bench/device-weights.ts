// Large random matrices without uploads: a small one is drawn on the host, and its rows are repeated on the device in a drawn order.
import { PackedTensor, Random, gatherRows, keep, quantize, randn, reshape, scope, tensor } from "qwen-blocks";
import type { Backend, Shape, Tensor } from "qwen-blocks";
import type { Scheme } from "qwen-blocks/quant";

/** Rows that are drawn. */
const drawnRows = 256;

export interface MatrixOptions {
  /** f32 unless given. */
  readonly scheme?: Scheme;
  /** Deviation; 1 unless given. */
  readonly std?: number;
}

export class DeviceWeights implements Disposable {
  readonly #backend: Backend;
  readonly #random: Random;
  /** The small matrices, by form. */
  readonly #drawn = new Map<string, Tensor | PackedTensor>();

  constructor(backend: Backend, seed: number) {
    this.#backend = backend;
    this.#random = new Random(seed);
  }

  plain(shape: Shape, std?: number): Tensor {
    return this.matrix(shape, { std }) as Tensor;
  }

  /** Normal numbers in rows along the last axis. */
  matrix(shape: Shape, { scheme, std = 1 }: MatrixOptions = {}): Tensor | PackedTensor {
    const rows = shape.slice(0, -1).reduce((size, extent) => size * extent, 1);
    const small = this.#draw(shape[shape.length - 1], scheme, std);
    const order = Int32Array.from({ length: rows }, () => this.#random.integer(drawnRows));
    const made = scope(() => {
      const indices = tensor(this.#backend, order);
      if (!(small instanceof PackedTensor)) return reshape(gatherRows(small, indices), shape);
      // Rows of numbers are rows of each part.
      const parts = small.parts.map((part) => gatherRows(part, indices));
      return new PackedTensor(small.scheme, shape, small.layout, parts);
    });
    return keep(made);
  }

  #draw(width: number, scheme: Scheme | undefined, std: number): Tensor | PackedTensor {
    const key = `${scheme?.name} ${width} ${std}`;
    const known = this.#drawn.get(key);
    if (known) return known;
    const drawn = scope(() => {
      const plain = randn(this.#backend, [drawnRows, width], this.#random, std);
      return scheme ? quantize(plain, scheme) : plain;
    });
    this.#drawn.set(key, keep(drawn));
    return drawn;
  }

  [Symbol.dispose](): void {
    for (const drawn of this.#drawn.values()) drawn.dispose();
    this.#drawn.clear();
  }
}
