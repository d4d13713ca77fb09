// What a token costs: dispatches of a recorded decode step, by name, and bytes that come back to the host.
import { DecodeStep, generate, Qwen3, scope, topK, type Qwen3Config } from "qwen-blocks";
import { packModel } from "qwen-blocks/quant";
import type { ProfiledDispatch, WebGpuBackend } from "qwen-blocks/webgpu";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { denseConfig, livelyWeights, tinyConfig } from "../models/tiny.js";
import { openInNode } from "./dawn.js";

const sizes: Partial<Qwen3Config> = {
  vocabSize: 600,
  hiddenSize: 64,
  intermediateSize: 96,
  headDim: 16,
  maxPositionEmbeddings: 4096,
};
const dense = denseConfig(sizes);
const mixture = tinyConfig({ ...sizes, numExperts: 8, moeIntermediateSize: 32 });

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await openInNode();
});
afterAll(() => backend[Symbol.asyncDispose]());

interface Setting {
  readonly config: Qwen3Config;
  readonly packed: boolean;
  /** Of the cache, which decides whether attention splits its keys. */
  readonly capacity: number;
}

/** The dispatches of one greedy token, in order, once everything is recorded. */
async function dispatchesOf(
  layers: number,
  { config, packed, capacity }: Setting,
): Promise<readonly ProfiledDispatch[]> {
  const model = new Qwen3(livelyWeights(backend, 1), { ...config, numHiddenLayers: layers });
  if (packed) await packModel(model, { scheme: "q4_0" });
  using cache = model.makeCache({ capacity, maxLength: capacity });
  using step = new DecodeStep(model, cache, (logits) => topK(logits, 1).indices);
  for (const id of [1, 2]) await step.run([id]).data();
  return backend.profile(() => void step.run([3]));
}

function counted(dispatches: readonly ProfiledDispatch[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { op, shader } of dispatches) {
    const name = op === shader ? op : `${op}: ${shader}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

describe("dispatches per decoded token", () => {
  test.each<[string, number, Setting]>([
    ["a dense layer", 10, { config: dense, packed: false, capacity: 64 }],
    ["a dense layer of q4_0", 10, { config: dense, packed: true, capacity: 64 }],
    ["a dense layer behind a long cache", 10, { config: dense, packed: false, capacity: 4096 }],
    ["a mixture", 13, { config: mixture, packed: false, capacity: 64 }],
    ["a mixture of q4_0", 13, { config: mixture, packed: true, capacity: 64 }],
  ])("%s takes %i, and one more where attention splits its keys", async (name, allowed, setting) => {
    const [two, three] = [counted(await dispatchesOf(2, setting)), counted(await dispatchesOf(3, setting))];
    const total = [...two.values()].reduce((sum, count) => sum + count, 0);
    const perLayer = [...three].map(([op, count]) => [op, count - (two.get(op) ?? 0)] as const);
    const sum = perLayer.reduce((sum, [, count]) => sum + count, 0);
    const once = total - 2 * sum;
    const list = perLayer.filter(([, count]) => count > 0).map(([op, count]) => `${count} ${op}`);
    console.log(`${name}: ${sum} dispatches (${list.join(", ")}) and ${once} per token`);
    const attention = perLayer.filter(([op]) => op.startsWith("attention")).reduce((sum, [, count]) => sum + count, 0);
    expect(attention).toBeLessThanOrEqual(2);
    expect(sum - attention).toBeLessThanOrEqual(allowed - 1);
    // Embedding, last norm, head, the best logit in a few rounds.
    expect(once).toBeLessThanOrEqual(8);
  });
});

describe("read-backs", () => {
  /** The sizes of all reads of a generation, in bytes. */
  async function readsOf(options: { readonly temperature: number }, prompt: readonly number[]): Promise<number[]> {
    const model = new Qwen3(livelyWeights(backend, 1), mixture);
    const read = vi.spyOn(backend.memory, "read");
    try {
      let made = 0;
      for await (const _ of generate(model, prompt, { ...options, maxNewTokens: 8 })) made++;
      expect(made).toBe(8);
      return read.mock.calls.map(([, , byteLength]) => byteLength);
    } finally {
      read.mockRestore();
    }
  }

  test("greedy decoding reads one id per token", async () => {
    expect(await readsOf({ temperature: 0 }, [1, 2, 3])).toEqual(Array(8).fill(4));
  });

  test("sampling reads the best logits, their ids and the normaliser, never the row", async () => {
    const reads = await readsOf({ temperature: 0.8 }, [1, 2, 3]);
    const some = Math.min(256, mixture.vocabSize) * 4;
    expect(reads.sort((a, b) => a - b)).toEqual([...Array<number>(8).fill(4), ...Array<number>(16).fill(some)]);
  });

  test("a long prompt waits for each chunk by one number", { timeout: 300_000 }, async () => {
    const prompt = Array.from({ length: 520 }, (_, i) => i % 600);
    expect(await readsOf({ temperature: 0 }, prompt)).toEqual(Array(8 + 1).fill(4));
  });

  test("a step of eager ops reads nothing", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), mixture);
    const before = backend.counters().reads;
    scope(() => void topK(model.forward([[1, 2, 3]]), 1));
    await backend.idle();
    expect(backend.counters().reads).toBe(before);
  });
});
