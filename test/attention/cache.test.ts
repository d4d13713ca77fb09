// A dense cache: what a step gives, what it refuses, and what it leaves as it was.
import {
  CapacityError, ConfigError, DisposedError, IndexError, OutOfMemoryError, record, RecordingError, scope, ShapeError, type Backend,
  type DenseCache, type Positions, type Step,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { expectNoLeak, numbers, usage } from "../tensor/numbers.js";
import { CacheRig, type Cell } from "./cache-rig.js";

let backend: Backend;
let rig: CacheRig;
beforeEach(async () => {
  backend = await cpu();
  rig = new CacheRig(backend);
});

describe("appending", () => {
  test("a prefill, token by token, and any chunking, with any padding between, agree", async () => {
    const rows = fc.array(fc.array(fc.nat(50), { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.integer({ min: 1, max: 8 }),
        fc.infiniteStream(fc.nat(9)),
        async (texts, capacity, draws) => {
          const draw = (below: number): number => (draws.next().value as number) % below;
          using cache = rig.make({ batch: texts.length, capacity });
          const got = texts.map((): number[][] => []);
          while (got.some((row, b) => row.length < texts[b].length)) {
            const T = 1 + draw(4);
            const chunk = texts.map((text, b): Cell[] => {
              const left = text.slice(got[b].length);
              const taken = left.slice(0, draw(T + 1));
              const before = draw(T - taken.length + 1);
              return [...Array<Cell>(before), ...taken, ...Array<Cell>(T - taken.length - before)];
            });
            const y = await rig.feed(
              chunk.map((row) => Array.from(row)),
              cache,
            );
            chunk.forEach((row, b) => {
              Array.from(row).forEach((cell, t) => {
                if (cell === undefined) expect(y[b][t]).toEqual([0, 0, 0, 0, 0, 0]);
                else got[b].push(y[b][t]);
              });
            });
            expect(cache.lengths).toEqual(got.map(({ length }) => length));
          }
          for (const [b, text] of texts.entries()) {
            await rig.expectLast(got[b], text);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test("it grows past its first capacity, keeps what it holds, and frees all of it", async () => {
    await expectNoLeak(backend, async () => {
      const cache = rig.make({ capacity: 2 });
      const text = Array.from({ length: 23 }, (_, i) => i);
      const first = await rig.feed([text.slice(0, 2)], cache);
      const small = usage(backend)[1];
      const rest = await rig.feed([text.slice(2)], cache);
      expect(usage(backend)[1]).toBeGreaterThan(small);
      await rig.expectLast([...first[0], ...rest[0]], text);
      cache.dispose();
      cache.dispose();
    });
  });

  test("over maxLength is a CapacityError for any row, and leaves everything as it was", async () => {
    const cache = rig.make({ batch: 2, maxLength: 4, capacity: 1 });
    await rig.feed([[1, 2, 3], [4, undefined, undefined]], cache); // prettier-ignore
    const before = usage(backend);
    await expect(rig.feed([[5, 6], [7, 8]], cache)).rejects.toThrow(CapacityError); // prettier-ignore
    await expect(rig.feed([[5, 6], [7, 8]], cache)).rejects.toMatchObject({ code: "CAPACITY" }); // prettier-ignore
    expect(cache.lengths).toEqual([3, 1]);
    expect(usage(backend)).toEqual(before);
    const y = await rig.feed([[5, undefined], [7, 8]], cache); // prettier-ignore
    await rig.expectLast([y[0][0]], [1, 2, 3, 5]);
    await rig.expectLast([y[1][0], y[1][1]], [4, 7, 8]);
    expect(cache.lengths).toEqual([4, 3]);
  });

  test("positions of another batch or below -1 change nothing", () => {
    const cache = rig.make({ batch: 2 });
    const of = (B: number, position: number[]): Positions => ({ shape: [B, position.length / B], position: Int32Array.from(position), segment: new Int32Array(position.length) }); // prettier-ignore
    expect(() => cache.begin(of(1, [0, 1]))).toThrow(ShapeError);
    expect(() => cache.begin(of(2, [0, -2]))).toThrow(IndexError);
    expect(cache.lengths).toEqual([0, 0]);
    expect(() => cache.pool(0)).toThrow(IndexError);
  });

  const refusals: Record<string, [(b: Backend, begin: () => Step) => unknown, unknown]> = {
    "inside record": [(b, begin) => record(b, begin), RecordingError],
    "when memory runs out": [(b, begin) => withoutMemory(b, begin), OutOfMemoryError],
  };
  test.each(Object.entries(refusals))("a step refused %s leaves everything as it was", async (_, [wrap, kind]) => {
    const cache = rig.make();
    await rig.feed([[1, 2]], cache);
    const before = usage(backend);
    const next: Positions = { shape: [1, 1], position: Int32Array.of(2), segment: new Int32Array(1) };
    expect(() => scope(() => void wrap(backend, () => cache.begin(next)))).toThrow(kind);
    expect(cache.lengths).toEqual([2]);
    expect(usage(backend)).toEqual(before);
    await rig.expectLast((await rig.feed([[3]], cache))[0], [1, 2, 3]);
  });
  /** Runs `fn` while nothing more can be allocated. */
  function withoutMemory<T>({ memory }: Backend, fn: () => T): T {
    const alloc = memory.alloc.bind(memory);
    memory.alloc = () => {
      throw new OutOfMemoryError("drawn");
    };
    try {
      return fn();
    } finally {
      memory.alloc = alloc;
    }
  }
});

describe("truncateTo, removeLast and select", () => {
  test("a fork shares what both hold and goes its own way", async () => {
    using cache = rig.make();
    await rig.feed([[1, 2, 3]], cache);
    const held = usage(backend);
    cache.select([0, 0, 0]);
    expect(usage(backend)).toEqual(held);
    cache.removeLast(2, 1);
    const y = await rig.feed([[7], [8], [9]], cache);
    for (const [b, text] of [
      [1, 2, 3, 7],
      [1, 8],
      [1, 2, 3, 9],
    ].entries()) {
      // prettier-ignore
      await rig.expectLast([y[b][0]], text);
    }
  });

  test("freed slots are taken again: a long life of short texts stays small", async () => {
    using cache = rig.make({ capacity: 4 });
    await rig.feed([[1, 2, 3, 4]], cache);
    const held = usage(backend);
    for (let i = 0; i < 20; i++) {
      cache.removeLast(3);
      await rig.feed([[i, i + 1, i + 2]], cache);
    }
    expect(usage(backend)).toEqual(held);
  });

  test("down to nothing: the next text knows nothing of the last", async () => {
    using cache = rig.make({ batch: 2 });
    for (const [forget, texts] of [
      [
        () => cache.truncateTo(0),
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
      ],
      [
        () => cache.removeLast(3),
        [
          [7, 8, 9],
          [2, 2, 2],
        ],
      ],
      [
        () => cache.select([1, 0]),
        [
          [3, 4, 5],
          [6, 7, 8],
        ],
      ],
    ] as const) {
      // prettier-ignore
      const y = await rig.feed(texts, cache);
      for (const b of [0, 1]) await rig.expectLast(y[b], texts[b]);
      forget();
    }
    // The last selection swapped the rows.
    const y = await rig.feed([[1], [2]], cache);
    await rig.expectLast(y[0], [6, 7, 8, 1]);
    await rig.expectLast(y[1], [3, 4, 5, 2]);
  });

  test("rows that select leaves out give their slots back", async () => {
    using cache = rig.make({ batch: 2, capacity: 2 });
    await rig.feed([[1, 2], [3, 4]], cache); // prettier-ignore
    const held = usage(backend);
    for (let i = 0; i < 5; i++) {
      cache.select([1, 1]);
      cache.truncateTo(0);
      await rig.feed([[i, 2], [3, i]], cache); // prettier-ignore
    }
    expect(usage(backend)).toEqual(held);
  });

  test("a token that is dropped takes its segment along", async () => {
    using cache = rig.make();
    const of = (position: number[], segment: number[]): Positions => ({
      shape: [1, position.length],
      position: Int32Array.from(position),
      segment: Int32Array.from(segment),
    });
    cache.begin(of([0, 1, 2], [5, 5, 6]));
    cache.truncateTo(1);
    const { keys } = cache.begin(of([7, 8], [9, 9]));
    const held = (await numbers(keys)).slice(0, 9).filter((_, i) => i % 3 < 2); // position and segment
    expect(held).toEqual([0, 5, 7, 9, 8, 9]);
  });

  const bad: Record<string, (cache: DenseCache) => unknown> = {
    "more than a row holds": (cache) => cache.truncateTo(4, 1),
    "a length below 0": (cache) => cache.truncateTo(-1, 0),
    "half a length": (cache) => cache.truncateTo(1.5, 0),
    "removing more than a row holds": (cache) => cache.removeLast(4, 1),
    "removing less than nothing": (cache) => cache.removeLast(-1),
    "removing half a token": (cache) => cache.removeLast(0.5),
    "removing NaN": (cache) => cache.removeLast(NaN),
    "truncating a row that is not": (cache) => cache.truncateTo(0, 2),
    "removing from a row that is not": (cache) => cache.removeLast(0, -1),
    "selecting a row that is not": (cache) => cache.select([0, 2]),
    "selecting half a row": (cache) => cache.select([0.5]),
    "truncating all rows where one is shorter": (cache) => cache.truncateTo(4),
    "removing from all rows where one is shorter": (cache) => cache.removeLast(4),
  };
  test.each(Object.entries(bad))("%s is an IndexError and changes nothing", async (_, use) => {
    using cache = rig.make({ batch: 2 });
    await rig.feed([[1, 2, 3, 4, 5], [6, undefined, 7, 8, undefined]], cache); // prettier-ignore
    let caught: unknown;
    try {
      use(cache);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(IndexError);
    expect(cache.lengths).toEqual([5, 3]);
  });
});

describe("life", () => {
  test("use after dispose is a DisposedError", () => {
    const cache = rig.make();
    cache.dispose();
    const uses: (() => unknown)[] = [
      () => cache.begin({ shape: [1, 1], position: Int32Array.of(0), segment: Int32Array.of(0) }),
      () => cache.pool(0),
      () => cache.truncateTo(0),
      () => cache.removeLast(0),
      () => cache.select([0]),
    ];
    for (const use of uses) expect(use).toThrow(DisposedError);
  });

  test.each([
    ["numHiddenLayers", 0],
    ["numKeyValueHeads", 1.5],
    ["headDim", -2],
    ["maxLength", 0],
    ["maxLength", NaN],
    ["batch", 0],
    ["capacity", 0],
  ])("refuses %s = %d", (name, value) => {
    expect(() => rig.make({ [name]: value })).toThrow(ConfigError);
    expect(() => rig.make({ [name]: value })).toThrow(name);
  });

  test("a cache made inside a scope outlives it", async () => {
    const cache = rig.make();
    await rig.feed([[1, 2]], cache); // begin and the pools are made inside a scope here
    expect(cache.pool(0).k.disposed).toBe(false);
    expect(cache.lengths).toEqual([2]);
    cache.dispose();
  });
});
