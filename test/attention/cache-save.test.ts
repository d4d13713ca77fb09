// A cache that is saved and loaded goes on as the one that was saved, on another backend and through a file.
import {
  CapacityError, CheckpointError, ConfigError, IndexError, PackedTensor, tensor, type Backend, type KVCache, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { bytesSource, encodeSafetensors, openSafetensors, readElements, type StoredTensor } from "qwen-blocks/io";
import { beforeEach, describe, expect, test } from "vitest";
import { expectNoLeak, usage } from "../tensor/numbers.js";
import { CacheRig } from "./cache-rig.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

type Saved = Readonly<Record<string, Tensor>>;
const free = (saved: Saved): void => Object.values(saved).forEach((made) => made.dispose());

/** Through the bytes of a safetensors file to another backend. */
async function carried(saved: Saved, to: Backend): Promise<Saved> {
  const stored = new Map<string, StoredTensor>();
  for (const [name, made] of Object.entries(saved)) {
    const data = await made.data();
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    stored.set(name, { dtype: made.dtype === "f32" ? "F32" : "I32", shape: made.shape, bytes });
  }
  const file = await openSafetensors(bytesSource(encodeSafetensors(stored), "cache.safetensors"));
  const loaded: Record<string, Tensor> = {};
  for (const [name, entry] of file.tensors)
    loaded[name] = tensor(to, await readElements(file.source, entry), entry.shape);
  return loaded;
}

const kinds: Record<string, (rig: CacheRig) => KVCache> = {
  dense: (rig) => rig.make({ batch: 2, capacity: 1 }),
  "dense with a window": (rig) => rig.make({ batch: 2, window: 3, sinks: 1 }),
  paged: (rig) => rig.paged({ batch: 2, pageSize: 3, keyScheme: "f16", valueScheme: "q8_0" }),
  ring: (rig) => rig.ring({ batch: 2, window: 3, sinks: 1 }),
  "ring, packed": (rig) => rig.ring({ batch: 2, window: 3, sinks: 1, keyScheme: "q8_0", valueScheme: "q4_0" }),
};
const seen = (kind: string) => (kind === "dense" || kind === "paged" ? {} : { window: 3, sinks: 1 });

describe.each(Object.entries(kinds))("%s", (kind, make) => {
  test("goes on alike elsewhere: appends, forks, truncations", async () => {
    const there = await cpu();
    const [rig, other] = [new CacheRig(backend, seen(kind)), new CacheRig(there, seen(kind))];
    await expectNoLeak(backend, async () => {
      using cache = make(rig);
      await rig.feed([[1, 2, 3, 4, 5], [6, undefined, 7, 8, undefined]], cache); // prettier-ignore
      cache.select([0, 1, 0]); // slots that two texts share
      await rig.feed([[9, 8], [8, undefined], [7, 6]], cache); // prettier-ignore
      const saved = await cache.save();
      const moved = await carried(saved, there);
      free(saved);
      using restored = make(other);
      await other.feed([[40], [41]], restored); // replaced by what is loaded
      await restored.load(moved);
      free(moved);
      expect(restored.lengths).toEqual([7, 4, 7]);
      const lives: ((cache: KVCache) => void)[] = [
        () => undefined,
        (c) => c.removeLast(1),
        (c) => c.select([2, 0]),
        (c) => c.truncateTo(0, 1),
      ];
      for (const live of lives) {
        live(cache);
        live(restored);
        const cells = cache.lengths.map((_, b) => [10 + b, 20 + b]);
        const [a, b] = [await rig.feed(cells, cache), await other.feed(cells, restored)];
        expect(restored.lengths).toEqual(cache.lengths);
        a.flat(2).forEach((x, i) => expect(b.flat(2)[i]).toBeCloseTo(x, 5));
      }
    });
    await there[Symbol.asyncDispose]();
  });

  test("holds what is in use and nothing more; packed words as they are", async () => {
    const rig = new CacheRig(backend, seen(kind));
    using cache = make(rig);
    await rig.feed([[1, 2], [3, undefined]], cache); // prettier-ignore
    const saved = await cache.save();
    const { k, v } = cache.pool(0);
    const names = [k, v].flatMap((pool, i) => {
      const name = `layers.0.${"kv"[i]}`;
      return pool instanceof PackedTensor ? pool.parts.map((_, part) => `${name}.${pool.scheme.name}.${part}`) : [name];
    });
    expect(Object.keys(saved).sort()).toEqual(["forgotten", "sight", "texts", "tokens", ...names].sort());
    for (const name of names) expect(saved[name].shape[0]).toBe(3);
    free(saved);
  });
});

describe("what does not fit", () => {
  const bad: Record<string, [make: (rig: CacheRig) => KVCache, error: unknown, text: RegExp]> = {
    "another window": [(rig) => rig.ring({ window: 4 }), ConfigError, /window 4/],
    "another kind": [(rig) => rig.make({ window: 3 }), ConfigError, /window/],
    "other heads": [(rig) => rig.ring({ window: 3, headDim: 6 }), CheckpointError, /layers\.0\.k/],
    "other layers": [(rig) => rig.ring({ window: 3, numHiddenLayers: 2 }), CheckpointError, /layers\.1\.k/],
    "another packing": [(rig) => rig.ring({ window: 3, valueScheme: "bf16" }), CheckpointError, /layers\.0\.v\.bf16/],
    "a shorter cache": [(rig) => rig.ring({ window: 3, maxLength: 4 }), CapacityError, /maxLength 4/],
  };
  test.each(Object.entries(bad))("%s is refused by name and changes nothing", async (_, [make, error, message]) => {
    const rig = new CacheRig(backend, { window: 3 });
    using cache = rig.ring({ window: 3 });
    await rig.feed([[1, 2, 3, 4, 5]], cache);
    const saved = await cache.save();
    using other = make(rig);
    const before = usage(backend);
    await expect(other.load(saved)).rejects.toThrow(error);
    await expect(other.load(saved)).rejects.toThrow(message);
    expect(other.lengths).toEqual([0]);
    expect(usage(backend)).toEqual(before);
    free(saved);
  });

  test("a tensor too many, one too few, and tables that contradict themselves", async () => {
    const rig = new CacheRig(backend);
    using cache = rig.make();
    await rig.feed([[1, 2]], cache);
    const saved = await cache.save();
    const { tokens, ...rest } = saved;
    await expect(cache.load({ ...saved, odd: tokens })).rejects.toThrow(/got odd/);
    await expect(cache.load(rest)).rejects.toThrow(/tokens must be i32/);
    for (const lines of [
      [[1, 0, 0, 0, 0]], // no such row
      [[0, 2, 0, 0, 0]], // behind the end
      [
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
      ], // out of order
      [[0, 0, 0, 0, 9]], // no such slot
      [[0, 0, -1, 0, 0]],
    ]) {
      using wrong = tensor(backend, Int32Array.from(lines.flat()), [lines.length, 5]);
      await expect(cache.load({ ...saved, tokens: wrong })).rejects.toThrow(CheckpointError);
    }
    expect(cache.lengths).toEqual([2]);
    free(saved);
  });
});

test("an empty cache too", async () => {
  const rig = new CacheRig(backend);
  using cache = rig.make();
  const saved = await cache.save();
  using other = rig.make({ batch: 3 });
  await rig.feed([[1], [2], [3]], other);
  await other.load(saved);
  expect(other.lengths).toEqual([0]);
  await rig.expectLast((await rig.feed([[1, 2]], other))[0], [1, 2]);
  free(saved);
});

test("prefixes are no part of it", async () => {
  const rig = new CacheRig(backend);
  using cache = rig.paged();
  await rig.feed([[1, 2, 3]], cache);
  const kept = cache.keepPrefix([1, 2, 3]);
  const saved = await cache.save();
  await cache.load(saved);
  free(saved);
  cache.truncateTo(0);
  expect(cache.reusePrefix([1, 2, 3, 4])).toBe(0);
  kept[Symbol.dispose]();
  expect(() => cache.truncateTo(1)).toThrow(IndexError);
  await rig.expectLast((await rig.feed([[5, 6, 7, 8]], cache))[0], [5, 6, 7, 8]);
});
