// Generation: what it yields, when it ends, and that it leaves nothing behind and the event loop alive.
import {
  CapacityError, ConfigError, generate, IndexError, Qwen3, Random, type Backend, type GenerateOptions,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { numbers, usage } from "../tensor/numbers.js";
import { livelyWeights, tinyConfig } from "./tiny.js";

let backend: Backend;
let model: Qwen3;
beforeAll(async () => {
  backend = await cpu();
  model = new Qwen3(livelyWeights(backend, 3), tinyConfig({ maxPositionEmbeddings: 4096 }));
  model.forward([[1]]).dispose(); // the RoPE table
});
const prompt = [1, 5, 2];
async function all(options: GenerateOptions, from: ArrayLike<number> = prompt): Promise<number[]> {
  const before = usage(backend);
  const made: number[] = [];
  try {
    for await (const id of generate(model, from, options)) made.push(id);
  } finally {
    expect(usage(backend)).toEqual(before);
  }
  return made;
}
/** The logits after a text, without a cache. */
async function logitsAfter(text: readonly number[]): Promise<number[]> {
  const y = model.forward([text], { logits: "last" });
  const row = await numbers(y);
  y.dispose();
  return row;
}
const greedy = { temperature: 0, maxNewTokens: 12 };

describe("what it yields", () => {
  test("greedy is the argmax of a forward pass over the whole text, each time", async () => {
    const text = [...prompt];
    for (let i = 0; i < greedy.maxNewTokens; i++) {
      const row = await logitsAfter(text);
      text.push(row.indexOf(Math.max(...row)));
    }
    expect(await all(greedy)).toEqual(text.slice(prompt.length));
    expect(await all({ ...greedy, random: new Random(9), topK: 3 })).toEqual(text.slice(prompt.length));
  });

  test("the prompt may be longer than a chunk, and a typed array", async () => {
    const long = Int32Array.from({ length: 1100 }, (_, i) => (i * 7) % 11);
    const row = await logitsAfter([...long]);
    expect(await all({ ...greedy, maxNewTokens: 1 }, long)).toEqual([row.indexOf(Math.max(...row))]);
  });

  test("the same seed gives the same text, another one another; topK 1 is greedy", async () => {
    const options = { maxNewTokens: 20, temperature: 1.5 };
    const draw = (seed: number, more: object = {}): Promise<number[]> => all({ ...options, ...more, random: new Random(seed) }); // prettier-ignore
    const first = await draw(1);
    expect(first).toHaveLength(20);
    expect(await draw(1)).toEqual(first);
    expect(await draw(2)).not.toEqual(first);
    expect(await all(options)).toEqual(await draw(0));
    expect((await draw(1, { topK: 1 })).slice(0, 12)).toEqual(await all(greedy));
    expect((await draw(3, { topP: 1e-6 })).slice(0, 12)).toEqual(await all(greedy));
  });

  test("draws follow the softmax of the logits at the temperature", async () => {
    const row = (await logitsAfter(prompt)).map((z) => z / 1.5);
    const total = row.reduce((sum, z) => sum + Math.exp(z), 0);
    const count = 600;
    const counts = row.map(() => 0);
    for (let seed = 0; seed < count; seed++) {
      const [id] = await all({ maxNewTokens: 1, temperature: 1.5, random: new Random(seed) });
      counts[id]++;
    }
    // A binomial count is within 5 deviations of its mean, plus one.
    row.forEach((z, id) => {
      const p = Math.exp(z) / total;
      expect(Math.abs(counts[id] - count * p), `token ${id}`).toBeLessThan(5 * Math.sqrt(count * p * (1 - p)) + 1);
    });
  });

  test("ends before a stop token and does not yield it", async () => {
    const text = await all(greedy);
    const stop = text[3];
    const end = text.indexOf(stop);
    expect(await all({ ...greedy, stopTokens: [99, stop] })).toEqual(text.slice(0, end));
    expect(await all({ ...greedy, stopTokens: [] })).toEqual(text);
    expect(await all({ ...greedy, maxNewTokens: 0 })).toEqual([]);
  });

  test("goes on with a cache of the caller's, which stays alive", async () => {
    const text = await all(greedy);
    const cache = model.makeCache();
    const before = usage(backend);
    const first: number[] = [];
    for await (const id of generate(model, prompt, { ...greedy, maxNewTokens: 5, cache })) first.push(id);
    expect(cache.lengths).toEqual([prompt.length + 4]); // the last token has not been read yet
    const rest: number[] = [];
    for await (const id of generate(model, first.slice(-1), { ...greedy, maxNewTokens: 7, cache })) rest.push(id);
    expect([...first, ...rest]).toEqual(text);
    expect(usage(backend)[0]).toBeGreaterThanOrEqual(before[0]);
    cache.dispose();
  });
});

describe("how it ends", () => {
  test("leaving the loop frees everything", async () => {
    const before = usage(backend);
    for await (const _ of generate(model, prompt, greedy)) break;
    expect(usage(backend)).toEqual(before);
    await expect(
      (async () => {
        for await (const _ of generate(model, prompt, greedy)) throw new Error("mine");
      })(),
    ).rejects.toThrow("mine");
    expect(usage(backend)).toEqual(before);
    const generator = generate(model, prompt, greedy);
    await generator.next();
    await generator.return();
    expect((await generator.next()).done).toBe(true);
    void generate(model, prompt, greedy); // never begun, nothing made
    expect(usage(backend)).toEqual(before);
  });

  test("an AbortSignal ends it with its reason within two steps, from a timer too", async () => {
    const before = usage(backend);
    for (const abortAt of [1, 4]) {
      const controller = new AbortController();
      let made = 0;
      const run = async (): Promise<void> => {
        for await (const _ of generate(model, prompt, { ...greedy, maxNewTokens: 1000, signal: controller.signal })) {
          made++;
          if (made === abortAt) controller.abort(new RangeError("enough"));
        }
      };
      await expect(run()).rejects.toThrow("enough");
      expect(made - abortAt).toBeLessThanOrEqual(2);
      expect(usage(backend)).toEqual(before);
    }
    await expect(all({ ...greedy, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  test("timers fire while it runs: an abort from one of them arrives", async () => {
    const before = usage(backend);
    const controller = new AbortController();
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 1);
    setTimeout(() => controller.abort(), 30);
    const run = async (): Promise<void> => {
      for await (const _ of generate(model, prompt, { temperature: 1, maxNewTokens: 3000, signal: controller.signal }));
    };
    await expect(run()).rejects.toMatchObject({ name: "AbortError" });
    clearInterval(ticking);
    expect(ticks).toBeGreaterThan(1);
    expect(usage(backend)).toEqual(before);
  });

  const bad: Record<string, [ArrayLike<number>, Partial<GenerateOptions>, unknown]> = {
    "an empty prompt": [[], {}, IndexError],
    "an id outside the vocabulary": [[1, 11], {}, IndexError],
    "maxNewTokens below 0": [prompt, { maxNewTokens: -1 }, ConfigError],
    "half a token": [prompt, { maxNewTokens: 1.5 }, ConfigError],
    "a negative temperature": [prompt, { temperature: -1 }, ConfigError],
    "topP 0": [prompt, { topP: 0 }, ConfigError],
    "topK 0": [prompt, { topK: 0 }, ConfigError],
  };
  test.each(Object.entries(bad))("refuses %s and leaves nothing", async (_, [from, change, kind]) => {
    await expect(all({ ...greedy, ...change }, from)).rejects.toThrow(kind);
  });

  test("a full cache is a CapacityError after the tokens that fitted", async () => {
    using cache = model.makeCache({ maxLength: 5 });
    const made: number[] = [];
    const run = async (): Promise<void> => {
      for await (const id of generate(model, prompt, { ...greedy, cache })) made.push(id);
    };
    await expect(run()).rejects.toThrow(CapacityError);
    expect(made).toEqual((await all(greedy)).slice(0, 3));
    expect(cache.lengths).toEqual([5]);
  });
});
