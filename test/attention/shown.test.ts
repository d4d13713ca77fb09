// A cache that was made for a window shows no more than that: layers that would see further are refused before they compute anything wrong.
import {
  Attention, ConfigError, DenseCache, PagedCache, Qwen3, randn, Random, randomWeights, RingCache, scope, sequencePositions, stepWithoutCache,
  type Backend, type DenseCacheOptions, type KVCache,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { denseConfig, livelyWeights } from "../models/tiny.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

interface Seen {
  readonly window: number;
  readonly sinks: number;
}

const blockOf = ({ window, sinks }: Seen): Attention =>
  new Attention(randomWeights(backend, 1), {
    ...{ hiddenSize: 4, numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps: 1e-6 },
    ...{ rope: { ropeType: "default", ropeTheta: 100 }, slidingWindow: window, sinks },
  });
const options = { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4, maxLength: 16 };
const kinds: Readonly<Record<string, (seen: Partial<Seen>) => KVCache>> = {
  dense: (seen) => new DenseCache(backend, { ...options, ...seen }),
  paged: (seen) => new PagedCache(backend, { ...options, ...seen }),
  ring: (seen) => new RingCache(backend, { ...options, ...(seen as DenseCacheOptions & Seen) }),
};
const read = (layer: Seen, cache: KVCache): void =>
  scope(() => {
    const x = randn(backend, [1, 3, 4], new Random(2));
    blockOf(layer).forward(x, { step: cache.begin(sequencePositions(1, 3)), cache });
  });

describe.each(Object.entries(kinds))("%s", (_, cacheOf) => {
  test.each([
    { layer: { window: 3, sinks: 2 }, shown: { window: 3, sinks: 2 } },
    { layer: { window: 1, sinks: 0 }, shown: { window: 3, sinks: 2 } },
  ])("serves a layer that sees $layer and less where it shows $shown", ({ layer, shown }) => {
    using cache = cacheOf(shown);
    expect(() => read(layer, cache)).not.toThrow();
  });

  test.each([
    {
      layer: { window: 4, sinks: 0 },
      shown: { window: 3, sinks: 0 },
      needed: "window 4, sinks 0), got a cache of window 3, sinks 0",
    },
    {
      layer: { window: 3, sinks: 3 },
      shown: { window: 3, sinks: 2 },
      needed: "window 3, sinks 3), got a cache of window 3, sinks 2",
    },
    { layer: { window: 3, sinks: 1 }, shown: { window: 8 }, needed: "sinks 0; make it with at least those" },
    {
      layer: { window: 0, sinks: 0 },
      shown: { window: 16, sinks: 0 },
      needed: "everything), got a cache of window 16, sinks 0; make a DenseCache or PagedCache without",
    },
  ])("refuses a layer that sees $layer where it shows $shown", ({ layer, shown, needed }) => {
    using cache = cacheOf(shown);
    expect(() => read(layer, cache)).toThrow(ConfigError);
    cache.truncateTo(0);
    expect(() => read(layer, cache)).toThrow(needed);
  });
});

test.each(["dense", "paged"])("without a window a %s cache serves every layer, whatever its sinks", (kind) => {
  for (const layer of [{ window: 0, sinks: 0 }, { window: 5, sinks: 3 }]) {
    using cache = kinds[kind]({});
    expect(() => read(layer, cache)).not.toThrow();
  } // prettier-ignore
});

test("without a cache every layer sees what it likes", () => {
  const step = stepWithoutCache(backend, sequencePositions(1, 3));
  for (const layer of [
    { window: 0, sinks: 0 },
    { window: 5, sinks: 3 },
  ])
    expect(() => blockOf(layer).forward(randn(backend, [1, 3, 4], new Random(2)), { step })).not.toThrow();
});

test("a model takes back the tokens of a pass that a cache did not fit, and its own caches fit", () => {
  const config = denseConfig({ slidingWindow: 3 });
  const model = new Qwen3(livelyWeights(backend, 1), config);
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  using narrow = new DenseCache(backend, { numHiddenLayers, numKeyValueHeads, headDim, maxLength: 16, window: 2 });
  expect(() => model.forward([[1, 2]], { cache: narrow })).toThrow(ConfigError);
  expect(narrow.lengths).toEqual([0]);
  for (const kind of ["dense", "paged", "ring"] as const) {
    using cache = model.makeCache({ kind, maxLength: 16, sinks: 1 });
    expect(() => model.forward([[1, 2, 3, 4]], { cache })).not.toThrow();
  }
});
