// Pages: what lies together, who shares it, and beginnings that are kept for prompts to come.
import {
  ConfigError,
  disposeAll,
  generate,
  IndexError,
  Qwen3,
  type Backend,
  type PagedCache,
  type Positions,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { denseConfig, livelyWeights } from "../models/tiny.js";
import { expectNoLeak, numbers, usage } from "../tensor/numbers.js";
import { CacheRig } from "./cache-rig.js";

let backend: Backend;
let rig: CacheRig;
beforeEach(async () => {
  backend = await cpu();
  rig = new CacheRig(backend);
});

const at = (...rows: (readonly number[])[]): Positions => {
  const position = Int32Array.from(rows.flat());
  return { shape: [rows.length, rows[0].length], position, segment: new Int32Array(position.length) };
};
const slotsOf = async (cache: PagedCache, ...rows: (readonly number[])[]): Promise<number[]> =>
  numbers(cache.begin(at(...rows)).slots);

describe("pages of four", () => {
  test("a text fills its page before it takes another, whatever others do", async () => {
    using cache = rig.paged({ batch: 2, capacity: 8 });
    expect(await slotsOf(cache, [0, 1, 2], [0, -1, -1])).toEqual([0, 1, 2, 4, -1, -1]);
    expect(await slotsOf(cache, [3, 4], [1, 2])).toEqual([3, 8, 5, 6]);
  });

  test("a fork shares what it holds, and goes on in a page of its own once the other has gone on", async () => {
    using cache = rig.paged({ capacity: 16 });
    expect(await slotsOf(cache, [0, 1])).toEqual([0, 1]);
    cache.select([0, 0, 0]);
    expect(await slotsOf(cache, [2], [2], [-1])).toEqual([2, 4, -1]);
    cache.removeLast(1, 0); // slot 2 is free again
    expect(await slotsOf(cache, [-1], [-1], [2])).toEqual([-1, -1, 2]);
  });

  test("a page comes back with the last text that holds a slot of it", async () => {
    using cache = rig.paged({ batch: 2, capacity: 4 });
    await rig.feed([[1, 2, 3], [4, 5, 6]], cache); // prettier-ignore
    const held = usage(backend);
    for (let i = 0; i < 6; i++) {
      cache.select([i % 2, i % 2]);
      cache.truncateTo(i % 3);
      const kept = cache.lengths[0];
      const chunk = [7, 8, 9].slice(0, 3 - kept);
      if (chunk.length > 0) await rig.feed([chunk, chunk], cache);
    }
    // Two pages more at most, of K and V: one that a fork leaves, and what pools grow by at once, half of the two that there were.
    expect(usage(backend)[1]).toBeLessThanOrEqual(held[1] + 2 * (2 * 2 * 4 * 4 * 4));
  });

  test.each([0, -1, 1.5])("pageSize %d is a ConfigError", (pageSize) => {
    expect(() => rig.paged({ pageSize })).toThrow(ConfigError);
  });
});

describe("kept prefixes", () => {
  test("serve prompts that begin alike, as far as they do, and never the whole prompt", async () => {
    await expectNoLeak(backend, async () => {
      using cache = rig.paged({ capacity: 4 });
      await rig.feed([[1, 2, 3, 4, 5, 6]], cache);
      cache.keepPrefix([1, 2, 3, 4, 5]);
      for (const [prompt, shared] of [
        [[1, 2, 3, 7, 8], 3],
        [[1, 2, 3, 4, 5, 6], 5],
        [[1, 2, 3, 4, 5], 4],
        [[1, 2], 1],
        [[1], 0],
        [[2, 2, 3], 0],
      ] as const) {
        cache.truncateTo(0);
        expect(cache.reusePrefix(prompt)).toBe(shared);
        expect(cache.lengths).toEqual([shared]);
        await rig.expectLast((await rig.feed([prompt.slice(shared)], cache))[0], prompt);
      }
    });
  });

  test("the longest of several wins; a freed one is forgotten, and its slots with it", async () => {
    using cache = rig.paged({ capacity: 8 });
    await rig.feed([[1, 2, 3, 4]], cache);
    const short = cache.keepPrefix([1, 2]);
    const long = cache.keepPrefix([1, 2, 3, 4]);
    const ask = (): number => (cache.truncateTo(0), cache.reusePrefix([1, 2, 3, 4, 5]));
    expect(ask()).toBe(4);
    long[Symbol.dispose]();
    long[Symbol.dispose]();
    expect(ask()).toBe(2);
    short[Symbol.dispose]();
    expect(ask()).toBe(0);
    expect(await slotsOf(cache, [0, 1, 2, 3, 4, 5, 6, 7])).toHaveLength(8);
    expect(cache.pool(0).k.shape[0]).toBe(8);
  });

  test("two rows of a batch share one", async () => {
    using cache = rig.paged({ batch: 2 });
    await rig.feed([[1, 2, 3], [9, undefined, undefined]], cache); // prettier-ignore
    using kept = cache.keepPrefix([1, 2, 3], 0);
    expect(kept).toBeDefined();
    cache.truncateTo(0);
    for (const row of [0, 1]) expect(cache.reusePrefix([1, 2, 3, 4 + row], row)).toBe(3);
    const y = await rig.feed([[4], [5]], cache);
    await rig.expectLast(y[0], [1, 2, 3, 4]);
    await rig.expectLast(y[1], [1, 2, 3, 5]);
  });

  test("rows that are not, not empty or too short are an IndexError", async () => {
    using cache = rig.paged();
    await rig.feed([[1, 2]], cache);
    expect(() => cache.keepPrefix([1, 2, 3])).toThrow(IndexError);
    expect(() => cache.keepPrefix([1], 1)).toThrow(IndexError);
    expect(() => cache.reusePrefix([1, 2, 3], 1)).toThrow(IndexError);
    expect(() => cache.reusePrefix([1, 2, 3])).toThrow(/row 0 must be empty, got 2 tokens; truncate it to 0 first/);
    expect(cache.lengths).toEqual([2]);
  });

  test("generate goes on behind one", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), denseConfig());
    const prompt = [3, 1, 4, 1, 5, 9, 2, 6];
    const made = async (options: Parameters<typeof generate>[2], ids: number[]): Promise<number[]> => {
      const all: number[] = [];
      for await (const id of generate(model, ids, options)) all.push(id);
      return all;
    };
    const expected = await made({ maxNewTokens: 6, temperature: 0 }, prompt);
    using cache = model.makeCache({ kind: "paged", maxLength: 40, pageSize: 4 });
    await made({ maxNewTokens: 1, temperature: 0, cache }, prompt.slice(0, 5));
    cache.keepPrefix(prompt.slice(0, 5));
    cache.truncateTo(0);
    const shared = cache.reusePrefix(prompt);
    expect(shared).toBe(5);
    expect(await made({ maxNewTokens: 6, temperature: 0, cache }, prompt.slice(shared))).toEqual(expected);
    disposeAll(model);
  });
});
