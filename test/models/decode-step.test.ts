// A recorded decode step gives the bits of the forward pass on every backend, through growth, truncation and other users of the model, and leaves
// nothing behind.
import {
  CapacityError, DecodeStep, generate, IndexError, observe, Qwen3, Random, scope, sequencePositions, ShapeError, topK, type Backend, type DenseCache, type KVCache,
  type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { bits, usage } from "../tensor/numbers.js";
import { livelyWeights, tinyConfig } from "./tiny.js";

const config = tinyConfig({ maxPositionEmbeddings: 8192 });

describe.each(availableBackends)("on $name", ({ open }) => {
  let backend: Backend;
  let model: Qwen3;
  beforeAll(async () => {
    backend = await open();
    model = new Qwen3(livelyWeights(backend, 3), config);
    model.forward([[1]]).dispose(); // the RoPE table
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  /** The logits of each token in turn by `forward`, bit for bit. */
  async function eagerly(cache: KVCache, text: readonly (readonly number[])[]): Promise<Uint32Array[]> {
    const all: Uint32Array[] = [];
    for (const ids of text) {
      using logits = model.forward(
        ids.map((id) => [id]),
        { cache },
      );
      all.push(await bits(logits));
    }
    return all;
  }
  const text = (batch: number, length: number, seed = 1): number[][] => {
    const random = new Random(seed);
    return Array.from({ length }, () => Array.from({ length: batch }, () => random.integer(config.vocabSize)));
  };

  test.each([1, 2])("bit for bit what forward gives, while the cache grows: batch %i", async (batch) => {
    const before = usage(backend);
    const tokens = text(batch, 300);
    {
      using cache = model.makeCache({ batch, maxLength: 400, capacity: 8 });
      using twin = model.makeCache({ batch, maxLength: 400, capacity: 8 });
      using step = new DecodeStep(model, cache, (logits) => logits);
      const expected = await eagerly(twin, tokens);
      for (const [i, ids] of tokens.entries()) expect(await bits(step.run(ids)), `token ${i}`).toEqual(expected[i]);
    }
    expect(usage(backend)).toEqual(before);
  });

  test("after truncation, other rows, other batches and passes that others ran", async () => {
    const before = usage(backend);
    const [first, then] = [text(1, 20), text(2, 20, 2)];
    const through = async (cache: DenseCache, run: (ids: readonly number[]) => Promise<Uint32Array>) => {
      const all: Uint32Array[] = [];
      const read = async (tokens: readonly (readonly number[])[]): Promise<void> => {
        for (const ids of tokens) all.push(await run(ids));
      };
      await read(first);
      cache.truncateTo(5);
      await read(first.slice(5, 9));
      model.forward([[1, 2, 3]], { cache }).dispose();
      await read(first.slice(9));
      cache.select([0, 0]); // as many slots as before, held twice
      await read(then);
      cache.select([1]);
      await read(first);
      return all;
    };
    {
      using cache = model.makeCache({ maxLength: 100, capacity: 16 });
      using twin = model.makeCache({ maxLength: 100, capacity: 16 });
      using step = new DecodeStep(model, cache, (logits) => logits);
      const expected = await through(twin, async (ids) => (await eagerly(twin, [ids]))[0]);
      expect(await through(cache, (ids) => bits(step.run(ids)))).toEqual(expected);
    }
    expect(usage(backend)).toEqual(before);
  });

  test("the RoPE table may grow in between, for the step itself or for others", async () => {
    const own = new Qwen3(livelyWeights(backend, 3), config);
    using cache = own.makeCache({ maxLength: 8000, capacity: 16 });
    using twin = own.makeCache({ maxLength: 8000, capacity: 16 });
    using step = new DecodeStep(own, cache, (logits) => logits);
    const tokens = text(1, 12);
    const expected = await eagerly(twin, tokens);
    for (const [i, ids] of tokens.entries()) {
      if (i === 6) for (const { selfAttn } of own.layers) selfAttn.rope.table(5000);
      expect(await bits(step.run(ids))).toEqual(expected[i]);
    }
  });

  test("positions may be given: text that goes on after an image, recorded once", async () => {
    const rope = { ropeType: "default", ropeTheta: 100, mropeSection: [1, 1, 0] } as const;
    const own = new Qwen3(livelyWeights(backend, 3), { ...config, rope });
    using cache = own.makeCache({ maxLength: 20 });
    using twin = own.makeCache({ maxLength: 20 });
    const image = { ...sequencePositions(1, 4), places: Int32Array.of(0, 0, 0, 2, 0, 1, 1, 2, 0, 0, 1, 2) };
    for (const each of [cache, twin]) own.forward([[1, 2, 3, 4]], { cache: each, positions: image }).dispose();
    let recorded = 0;
    using step = new DecodeStep(own, cache, (logits) => (recorded++, logits));
    for (const [i, ids] of text(1, 6).entries()) {
      const positions = sequencePositions(1, 1, { start: [4 + i], ropeDelta: [-1] });
      using expected = own.forward([ids], { cache: twin, positions });
      expect(await bits(step.run(ids, positions)), `token ${i}`).toEqual(await bits(expected));
    }
    expect(recorded).toBe(1);
  });

  test("a rule that depends on the length takes the cache's, whatever passes come between", async () => {
    const rope = { ropeType: "dynamic", ropeTheta: 100, factor: 4, maxPositionEmbeddings: 8 } as const;
    const own = new Qwen3(livelyWeights(backend, 3), { ...config, rope, maxPositionEmbeddings: 8 });
    using cache = own.makeCache({ maxLength: 12 });
    using twin = own.makeCache({ maxLength: 12 });
    using longer = own.makeCache({ maxLength: 40 });
    using step = new DecodeStep(own, cache, (logits) => logits);
    for (const [i, ids] of text(1, 12).entries()) {
      own.forward([[1]]).dispose(); // makes the table of short texts, in place of the cache's
      const found = await bits(step.run(ids));
      using expected = own.forward([ids], { cache: twin });
      using other = own.forward([ids], { cache: longer });
      expect(found, `token ${i}`).toEqual(await bits(expected));
      if (i > 0) expect(found).not.toEqual(await bits(other));
    }
  });

  test("generate gives what eager steps give, greedy and drawn", async () => {
    const prompt = [1, 5, 2];
    const made: number[] = [];
    for await (const id of generate(model, prompt, { maxNewTokens: 40, temperature: 0 })) made.push(id);
    using cache = model.makeCache();
    let next: readonly number[] = prompt;
    for (const id of made) {
      using best = scope(() => topK(model.forward([next], { cache, logits: "last" }), 1).indices);
      expect((await best.data())[0]).toBe(id);
      next = [id];
    }
  });
});

describe("errors and memory", () => {
  let backend: Backend;
  let model: Qwen3;
  beforeAll(async () => {
    backend = await cpu();
    model = new Qwen3(livelyWeights(backend, 3), config);
    model.forward([[1]]).dispose();
  });

  test("records once per capacity, and replays otherwise", () => {
    const counted = observe(backend);
    const other = new Qwen3(livelyWeights(counted, 3), config);
    let recorded = 0;
    using cache = other.makeCache({ maxLength: 40, capacity: 8 });
    using step = new DecodeStep(other, cache, (logits) => (recorded++, logits));
    const kernels = (): number => [...counted.calls.values()].reduce((sum, { count }) => sum + count, 0);
    const per: number[] = [];
    for (let i = 0; i < 40; i++) {
      counted.reset();
      step.run([i % 11]);
      per.push(kernels());
    }
    expect(recorded).toBe(4); // 8, 16, 32, 40 tokens
    expect(new Set(per.slice(33))).toEqual(new Set([per[1]]));
  });

  test("a full cache is a CapacityError, and the step goes on when there is room again", async () => {
    using cache = model.makeCache({ maxLength: 3 });
    using step = new DecodeStep(model, cache, (logits) => logits);
    const first = [1, 2, 3].map((id) => void step.run([id]));
    expect(first).toHaveLength(3);
    const held = usage(backend);
    expect(() => step.run([4])).toThrow(CapacityError);
    expect(cache.lengths).toEqual([3]);
    cache.truncateTo(2);
    const again = await bits(step.run([3]));
    expect(usage(backend)).toEqual(held);
    using twin = model.makeCache({ maxLength: 3 });
    for (const id of [1, 2]) model.forward([[id]], { cache: twin }).dispose();
    using logits = model.forward([[3]], { cache: twin });
    expect(again).toEqual(await bits(logits));
  });

  test("ids outside the vocabulary and a wrong number of rows change nothing", () => {
    using cache = model.makeCache({ maxLength: 30 });
    using step = new DecodeStep(model, cache, (logits) => logits);
    for (const round of [0, 1]) {
      expect(() => step.run([11])).toThrow(IndexError);
      expect(() => step.run([0.5])).toThrow(IndexError);
      expect(() => step.run([1, 2])).toThrow(ShapeError);
      expect(cache.lengths).toEqual([round]);
      step.run([1]);
    }
  });

  test("what fails while it is recorded leaves no token and no memory, and may be tried again", async () => {
    using cache = model.makeCache({ maxLength: 30 });
    model.forward([[1]], { cache }).dispose();
    const before = usage(backend);
    let failing = true;
    const then = (logits: Tensor): Tensor => {
      if (failing) throw new Error("not yet");
      return logits;
    };
    const step = new DecodeStep(model, cache, then);
    expect(() => step.run([2])).toThrow("not yet");
    expect(cache.lengths).toEqual([1]);
    expect(usage(backend)).toEqual(before);
    failing = false;
    expect((await bits(step.run([2]))).length).toBe(config.vocabSize);
    step.dispose();
    step.dispose();
    expect(usage(backend)).toEqual(before);
  });

  test("a cache that knows nothing of earlier steps is recorded each time", async () => {
    using inner = model.makeCache({ maxLength: 30 });
    const simple: KVCache = {
      maxLength: inner.maxLength,
      get lengths() {
        return inner.lengths;
      },
      begin: (next) => inner.begin(next),
      pool: (layer) => inner.pool(layer),
      truncateTo: (length, row) => inner.truncateTo(length, row),
      removeLast: (count, row) => inner.removeLast(count, row),
      select: (rows) => inner.select(rows),
      save: () => inner.save(),
      load: (saved) => inner.load(saved),
      dispose: () => inner.dispose(),
      [Symbol.dispose]: () => inner.dispose(),
    };
    using twin = model.makeCache({ maxLength: 30 });
    using step = new DecodeStep(model, simple, (logits) => logits);
    for (const id of [1, 2, 3, 4]) {
      using logits = model.forward([[id]], { cache: twin });
      expect(await bits(step.run([id]))).toEqual(await bits(logits));
    }
  });
});
