// A ring: texts roll on in memory that does not grow, and what it gave up it does not pretend to have.
import type { RingCache } from "qwen-blocks";
import { ConfigError, DecodeStep, IndexError, Qwen3, scope, type Backend, type KVCache, type Positions } from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { denseConfig, livelyWeights } from "../models/tiny.js";
import { expectNoLeak, numbers, usage } from "../tensor/numbers.js";
import { CacheRig } from "./cache-rig.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

const at = (position: number, segment = 0): Positions => ({
  shape: [1, 1],
  position: Int32Array.of(position),
  segment: Int32Array.of(segment),
});
const text = (length: number): number[] => Array.from({ length }, (_, i) => i % 51);

describe.each([
  { window: 1, sinks: 0 },
  { window: 4, sinks: 0 },
  { window: 5, sinks: 3 },
])("window $window, sinks $sinks", (seen) => {
  test("rolls on without growing, and gives what a window over the whole text gives", async () => {
    const rig = new CacheRig(backend, seen);
    await expectNoLeak(backend, async () => {
      using cache = rig.ring({ ...seen, capacity: 1 });
      const all = text(80);
      const outputs: number[][] = [];
      let held: unknown;
      for (let i = 0; i < all.length; i++) {
        outputs.push((await rig.feed([[all[i]]], cache))[0][0]);
        if (i === 12) held = usage(backend);
      }
      expect(usage(backend)).toEqual(held);
      expect(cache.lengths).toEqual([80]);
      expect(cache.pool(0).k.shape[0]).toBeLessThanOrEqual(seen.window + 2 * seen.sinks);
      await rig.expectLast(outputs, all);
    });
  });
});

describe("what is gone is gone", () => {
  const lose = async (): Promise<[CacheRig, RingCache]> => {
    const rig = new CacheRig(backend, { window: 3 });
    const cache = rig.ring({ window: 3 });
    await rig.feed([[1, 2, 3, 4]], cache);
    await rig.feed([[5, 6]], cache); // 1 and 2 leave
    return [rig, cache];
  };

  test("truncating to where older tokens would be seen is an IndexError and changes nothing", async () => {
    const [rig, cache] = await lose();
    for (const use of [() => cache.truncateTo(3), () => cache.removeLast(3), () => cache.truncateTo(1, 0)])
      expect(use).toThrow(IndexError);
    expect(() => cache.truncateTo(3)).toThrow(/at least 4 tokens, got 3/);
    expect(cache.lengths).toEqual([6]);
    await rig.expectLast((await rig.feed([[7]], cache))[0], [1, 2, 3, 4, 5, 6, 7]);
  });

  test("the tokens of the last call can be taken back, and all of them", async () => {
    const [rig, cache] = await lose();
    cache.removeLast(2);
    await rig.expectLast((await rig.feed([[8]], cache))[0], [1, 2, 3, 4, 8]);
    cache.truncateTo(0);
    await rig.expectLast((await rig.feed([[9, 8]], cache))[0], [9, 8]);
  });

  test("as long as nothing was given up, any length will do", async () => {
    const rig = new CacheRig(backend, { window: 8 });
    using cache = rig.ring({ window: 8 });
    for (const cell of [1, 2, 3, 4]) await rig.feed([[cell]], cache);
    cache.truncateTo(1);
    await rig.expectLast((await rig.feed([[5]], cache))[0], [1, 5]);
  });

  test("a position that would look back too far, and a segment that comes back, are refused", async () => {
    const [, cache] = await lose();
    expect(() => cache.begin(at(3))).toThrow(/position 3 of segment 0/); // it would see position 1
    cache.begin(at(6, 1));
    cache.begin(at(7, 1));
    expect(() => cache.begin(at(8, 0))).toThrow(IndexError);
    expect(() => cache.begin(at(8, 0))).toThrow(/segment 0/);
    expect(cache.lengths).toEqual([8]);
  });
});

test("global tokens stay and are seen from any distance; alone they look back as far as the others", async () => {
  const rig = new CacheRig(backend, { window: 2 });
  using cache = rig.ring({ window: 2 });
  for (let i = 0; i < 9; i++) cache.begin(at(i, i % 4 === 1 ? ~0 : 0));
  const { keys, queries } = cache.begin(at(9, ~0));
  const table = await numbers(keys);
  const listed = table.filter((_, i) => i % 3 === 0 && table[i] >= 0).sort((a, b) => a - b);
  expect(listed).toEqual([1, 5, 8, 9]);
  expect((await numbers(queries)).slice(0, 2)).toEqual([9, 0]);
});

test.each([0, -1, 0.5, NaN])("window %d is a ConfigError", (window) => {
  const rig = new CacheRig(backend);
  expect(() => rig.ring({ window })).toThrow(ConfigError);
  expect(() => rig.ring({ window })).toThrow("window");
});
test("sinks below 0 are a ConfigError", () => {
  expect(() => new CacheRig(backend).ring({ window: 2, sinks: -1 })).toThrow("sinks");
});

describe("a model's ring", () => {
  const config = denseConfig({ slidingWindow: 3, maxPositionEmbeddings: 10_000 });

  test("decodes from one recording, token after token", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    using cache: KVCache = model.makeCache({ kind: "ring", capacity: 4 });
    const begin = vi.spyOn(cache, "begin");
    using twin = model.makeCache({ maxLength: 40 });
    using step = new DecodeStep(model, cache, (logits) => logits);
    for (let i = 0; i < 30; i++) {
      const logits = await numbers(step.run([i % 11]));
      const alone = await numbers(scope(() => model.forward([[i % 11]], { cache: twin })));
      logits.forEach((x, j) => expect(x).toBeCloseTo(alone[j], 4));
    }
    const steps = new Set(begin.mock.results.map(({ value }) => value as unknown));
    expect(steps.size).toBe(1);
  });

  test("needs a window in every layer", () => {
    const mixed = { ...config, layerTypes: ["sliding_attention", "full_attention"] } as const;
    const model = new Qwen3(livelyWeights(backend, 1), mixed);
    expect(() => model.makeCache({ kind: "ring" })).toThrow(/window for a ring, got none in layer 1/);
    model.makeCache({ kind: "paged" }).dispose();
  });

  test("a dense cache lists the window as well, so that a step costs no more", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    using cache = model.makeCache({ capacity: 1 });
    for (const ids of [text(7), text(5), [1], [2]])
      model.forward([ids.map((id) => id % 11)], { cache, logits: "last" }).dispose();
    const { keys } = cache.begin(at(14));
    expect(keys.shape[1]).toBeLessThanOrEqual(3 - 1 + 7);
    expect((await numbers(keys)).filter((x, i) => i % 3 === 0 && x >= 0).sort()).toEqual([12, 13, 14]);
    cache.truncateTo(4); // what comes back is listed again
    const { keys: again } = cache.begin(at(4));
    expect((await numbers(again)).filter((x, i) => i % 3 === 0 && x >= 0).sort()).toEqual([2, 3, 4]);
  });
});

test("a dense cache with a window takes positions in any order, and lists all that is near", async () => {
  const rig = new CacheRig(backend, { window: 3 });
  using cache = rig.make({ window: 3 });
  const listed: number[][] = [];
  for (const position of [5, 1, 20, 21, 6]) {
    const table = await numbers(cache.begin(at(position)).keys);
    listed.push(table.filter((x, i) => i % 3 === 0 && x >= 0).sort((a, b) => a - b));
  }
  expect(listed[3]).toEqual([20, 21]);
  expect(listed[4]).toEqual(expect.arrayContaining([5, 6]));
});
