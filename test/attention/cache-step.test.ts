// When a cache rewrites the tables of an earlier step and when it makes new ones: a recording of the step stands or falls with that.
import { DenseCache, type Backend, type Positions, type Step } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, expect, test } from "vitest";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

const make = (batch = 1): DenseCache =>
  new DenseCache(backend, { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4, maxLength: 64, capacity: 4, batch });
const at = (...rows: (readonly number[])[]): Positions => {
  const position = Int32Array.from(rows.flat());
  return { shape: [rows.length, rows[0].length], position, segment: new Int32Array(position.length) };
};
const tables = async ({ rows, slots, queries, keys }: Step): Promise<number[][]> =>
  Promise.all([rows, slots, queries, keys].map(numbers));
const free = ({ rows, slots, queries }: Step): void => [rows, slots, queries].forEach((made) => made.dispose());

test("the same step, with the tables that a new one would have", async () => {
  await expectNoLeak(backend, async () => {
    using cache = make();
    using twin = make();
    const step = cache.begin(at([0]));
    free(twin.begin(at([0])));
    for (const position of [1, 2, 3]) {
      expect(cache.begin(at([position]), step)).toBe(step);
      const fresh = twin.begin(at([position]));
      expect(await tables(step)).toEqual(await tables(fresh));
      free(fresh);
    }
    free(step);
  });
});

const changes: Record<string, (cache: DenseCache, step: Step) => Step> = {
  "more tokens than the capacity": (cache, step) => {
    for (const position of [1, 2, 3]) cache.begin(at([position]), step);
    return cache.begin(at([4]), step);
  },
  "a position beyond the step's length": (cache, step) => cache.begin(at([step.length]), step),
  "another number of tokens": (cache, step) => cache.begin(at([1, 2]), step),
  "another batch": (cache, step) => {
    cache.select([0, 0]);
    return cache.begin(at([1], [1]), step);
  },
  "larger pools for as long rows": (cache, step) => {
    free(cache.begin(at([1, 2, 3])));
    cache.select([0, 0]);
    cache.truncateTo(2, 1);
    const pools = cache.pool(0);
    const two = cache.begin(at([-1], [2]), step);
    expect(cache.pool(0)).not.toBe(pools);
    cache.select([1]);
    return (free(two), cache.begin(at([3]), step));
  },
  "the step of another cache": (cache) => {
    using other = make();
    const step = other.begin(at([0]));
    const mine = cache.begin(at([1]), step);
    expect(mine).not.toBe(step);
    return (free(step), mine);
  },
};
test.each(Object.entries(changes))("another step after %s", async (_, change) => {
  await expectNoLeak(backend, () => {
    using cache = make();
    const step = cache.begin(at([0]));
    const next = change(cache, step);
    expect(next).not.toBe(step);
    free(step);
    free(next);
  });
});

test("after a selection the table shows nothing of the rows before", async () => {
  using cache = make(2);
  free(cache.begin(at([0, 1, 2], [0, -1, -1])));
  cache.select([1, 1]);
  const step = cache.begin(at([1], [-1]));
  const lines = await numbers(step.keys);
  const shown = lines.flatMap((x, i) => (i % 3 === 0 && x >= 0 ? [i / 3] : []));
  expect(shown).toEqual([0, 1, 4]);
  free(step);
});
