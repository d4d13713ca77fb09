// An attention block with a cache in which a token is a number, so that texts can be drawn and compared with texts recomputed.
import {
  Attention, attention, DenseCache, PagedCache, randomWeights, RingCache, scope, tensor, type Backend, type KVCache, type PagedCacheOptions,
  type Positions, type RingCacheOptions,
} from "qwen-blocks"; // prettier-ignore
import { expectWithin, normals, numbers, u } from "../tensor/numbers.js";

const D = 6;
const shape = { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4 };
/** What rounding may change between two orders of the same sum: outputs are below 10, 64 roundings. */
const bound = 64 * u * 10;

/** Padding is undefined. */
export type Cell = number | undefined;
const embed = (cell: Cell): number[] => normals(cell ?? 1000, D);

export class CacheRig {
  readonly backend: Backend;
  readonly #block: Attention;

  /** @param seen how far the block looks back: a window, 0 for all, and the first positions */
  constructor(backend: Backend, seen: { readonly window?: number; readonly sinks?: number } = {}) {
    this.backend = backend;
    const { window = 0, sinks = 0 } = seen;
    this.#block = new Attention(randomWeights(backend, 1, { initializerRange: 0.5 }), {
      hiddenSize: D,
      numAttentionHeads: 2,
      numKeyValueHeads: 1,
      headDim: 4,
      qkNorm: true,
      rmsNormEps: 1e-6,
      rope: { ropeType: "default", ropeTheta: 10 },
      slidingWindow: window,
      attention: (q, k, v, queries, keys, attrs) => attention(q, k, v, queries, keys, { ...attrs, sinks }),
    });
    this.#block.rope.table(1);
  }

  make(options: Partial<ConstructorParameters<typeof DenseCache>[1]> = {}): DenseCache {
    return new DenseCache(this.backend, { ...shape, maxLength: 64, ...options });
  }

  ring(options: Partial<RingCacheOptions> & { readonly window: number }): RingCache {
    return new RingCache(this.backend, { ...shape, maxLength: 10_000, ...options });
  }

  paged(options: Partial<PagedCacheOptions> = {}): PagedCache {
    return new PagedCache(this.backend, { ...shape, maxLength: 64, pageSize: 4, ...options });
  }

  /** Runs rows of cells through the block, outputs by row and token; with a cache they go on where it ends. */
  async feed(cells: readonly (readonly Cell[])[], cache?: KVCache): Promise<number[][][]> {
    const [B, T] = [cells.length, cells[0].length];
    const position = new Int32Array(B * T).fill(-1);
    cells.forEach((row, b) => {
      let next = cache?.lengths[b] ?? 0;
      row.forEach((cell, t) => (position[b * T + t] = cell === undefined ? -1 : next++));
    });
    const positions: Positions = { shape: [B, T], position, segment: new Int32Array(B * T) };
    const y = scope(() => {
      const x = tensor(this.backend, cells.flat().flatMap(embed), [B, T, D]);
      return this.#block.forward(x, cache ? { step: cache.begin(positions), cache } : { positions });
    });
    const all = await numbers(y);
    y.dispose();
    return cells.map((_, b) => Array.from({ length: T }, (_, t) => all.slice((b * T + t) * D, (b * T + t + 1) * D)));
  }

  /** The outputs are those of the last tokens of `text` computed without a cache. */
  async expectLast(outputs: readonly (readonly number[])[], text: readonly number[]): Promise<void> {
    if (outputs.length === 0) return;
    const alone = (await this.feed([text]))[0].slice(-outputs.length).flat();
    expectWithin(outputs.flat(), alone, alone.map(() => bound)); // prettier-ignore
  }
}
