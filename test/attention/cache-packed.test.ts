// Packed pools: growth copies words, schemes are checked when the cache is made, and memory is what the formula says.
import {
  BackendError,
  ConfigError,
  DenseCache,
  PackedTensor,
  type Backend,
  type PackedTensor as Packed,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { schemes } from "qwen-blocks/quant";
import { beforeEach, expect, test } from "vitest";
import { numbers, usage } from "../tensor/numbers.js";
import { CacheRig } from "./cache-rig.js";

let backend: Backend;
let rig: CacheRig;
beforeEach(async () => {
  backend = await cpu();
  rig = new CacheRig(backend);
});

test("growing changes no word of what is held", async () => {
  using cache = rig.make({ capacity: 1, keyScheme: "q8_0", valueScheme: schemes.q4_0 });
  const words = async (slots: number): Promise<number[][]> => {
    const { k, v } = cache.pool(0);
    const parts = [k, v].flatMap((pool) => (pool as Packed).parts.map((part) => [part, part.size / pool.shape[0]] as const)); // prettier-ignore
    return Promise.all(parts.map(async ([part, perSlot]) => (await numbers(part)).slice(0, slots * perSlot)));
  };
  await rig.feed([[1, 2, 3]], cache);
  const before = await words(3);
  const [size] = cache.pool(0).k.shape;
  await rig.feed([[4, 5, 6, 7, 8, 9]], cache);
  expect(cache.pool(0).k.shape[0]).toBeGreaterThan(size);
  expect(cache.pool(0).k).toBeInstanceOf(PackedTensor);
  expect(await words(3)).toEqual(before);
});

test.each([
  [undefined, 4],
  ["bf16", 2],
  ["q8_0", 34 / 32],
  ["q4_0", 18 / 32],
] as const)("%s: bytes per number", (scheme, bytes) => {
  const packing = scheme ? { keyScheme: scheme, valueScheme: scheme } : {};
  const before = usage(backend)[1];
  using cache = new DenseCache(backend, { numHiddenLayers: 3, numKeyValueHeads: 2, headDim: 64, maxLength: 128, ...packing }); // prettier-ignore
  const step = cache.begin({ shape: [1, 1], position: Int32Array.of(0), segment: Int32Array.of(0) });
  const tables = 3 * 4 * 128 + 4 * (1 + 1 + 4);
  expect(usage(backend)[1] - before - tables).toBe(2 * 3 * 128 * 2 * 64 * bytes);
  [step.rows, step.slots, step.queries].forEach((made) => made.dispose());
});

test("a scheme that is not, is not listed, or binds tokens together, is refused when the cache is made", () => {
  expect(() => rig.make({ keyScheme: "q3" })).toThrow(BackendError);
  expect(() => rig.make({ keyScheme: "q3" })).toThrow(/keyScheme/);
  const own = { ...schemes.q8_0, name: "mine" };
  expect(() => rig.make({ valueScheme: own })).toThrow(/valueScheme.*mine/);
  const tiled = {
    ...schemes.q8_0,
    parts: [schemes.q8_0.parts[0], { ...schemes.q8_0.parts[1], per: "tensor" as const }],
  };
  expect(() => rig.make({ keyScheme: tiled })).toThrow(ConfigError);
});
