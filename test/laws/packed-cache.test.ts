// Decoders of drawn configurations, the pools of their caches stored by drawn schemes: a text read at once, in pieces or token by token gives the
// same logits. A token's keys and values are rounded once, when they arrive, so that how many come with it changes nothing.
import {
  DenseCache, disposeAll, keep, quantize, Qwen3, reshape, concat, zeros, type Backend, type Pool, type Qwen3Config, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { schemes } from "qwen-blocks/quant";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

const MAX_LENGTH = 8;

/** How keys and values are stored: by the scheme of that name, or as they are. */
type Stored = readonly [k: string | undefined, v: string | undefined];

/** The tables of a plain cache, and pools that are packed. */
class PackedCache extends DenseCache {
  readonly #pools: readonly Pool[];

  constructor(where: Backend, config: Qwen3Config, [kAs, vAs]: Stored) {
    const { numHiddenLayers, numKeyValueHeads, headDim } = config;
    // With room for all tokens from the start, slots stay as many as they are.
    super(where, { numHiddenLayers, numKeyValueHeads, headDim, maxLength: MAX_LENGTH, capacity: MAX_LENGTH });
    const empty = (as: string | undefined): Pool["k"] => {
      const pool = zeros(where, [MAX_LENGTH, numKeyValueHeads, headDim]);
      return keep(as === undefined ? pool : quantize(pool, schemes[as]));
    };
    this.#pools = Array.from({ length: numHiddenLayers }, () => ({ k: empty(kAs), v: empty(vAs) }));
  }

  override pool(layer: number): Pool {
    return this.#pools[layer];
  }

  override dispose(): void {
    super.dispose();
    for (const { k, v } of this.#pools) {
      k.dispose();
      v.dispose();
    }
  }
}

const readIn =
  (pieces: readonly number[], ids: readonly number[], config: Qwen3Config, stored: Stored, seed: number): Way =>
  (where) => {
    const model = new Qwen3(livelyWeights(where, seed), config);
    using cache = new PackedCache(where, config, stored);
    const logits: Tensor[] = [];
    for (let from = 0, i = 0; from < ids.length; from += pieces[i++ % pieces.length]) {
      const piece = ids.slice(from, from + pieces[i % pieces.length]);
      logits.push(reshape(model.forward([piece], { cache }), [piece.length, config.vocabSize]));
    }
    disposeAll(model);
    return [concat(logits, 0)];
  };

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("at once = in pieces = token by token", async () => {
    const tally = new Tally();
    const stored = fc.constantFrom("f16", "bf16", "q8_0", "q4_0", undefined);
    const text = fc.array(fc.nat(10), { minLength: 2, maxLength: MAX_LENGTH });
    const pieces = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(configs, text, pieces, stored, stored, fc.nat(), async (config, ids, cuts, kAs, vAs, seed) => {
        const read = (...sizes: number[]): Way => readIn(sizes, ids, config, [kAs, vAs], seed);
        const ways = { "at once": read(ids.length), pieces: read(...cuts), tokens: read(1) };
        await expectSame(backend, ways, tally, { drawn: [config, ids, cuts, kAs, vAs, seed] });
      }),
      { numRuns: runs(20) },
    );
    tally.expectMost();
  });
});
