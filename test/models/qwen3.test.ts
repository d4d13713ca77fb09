// The whole decoder on tiny random configs: what a forward pass returns, refuses and frees.
import {
  DenseCache, disposeAll, IndexError, parameters, presets, Qwen3, ShapeError, CapacityError, ConfigError, sequencePositions, scope, tensor,
  type Backend, type Qwen3Config, type Routing,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, ints, numbers, u, usage } from "../tensor/numbers.js";
import { denseConfig, livelyWeights, tinyConfig } from "./tiny.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const modelOf = (config: Qwen3Config): Qwen3 => new Qwen3(livelyWeights(backend, 3), config);
const configs: Record<string, Qwen3Config> = {
  mixture: tinyConfig(),
  "dense and tied": denseConfig({ tieWordEmbeddings: true }),
  "dense layers mixed in, biases": tinyConfig({ mlpOnlyLayers: [1], attentionBias: true, numHiddenLayers: 3 }),
  "sliding windows in some layers": tinyConfig({ slidingWindow: 2, layerTypes: ["sliding_attention", "full_attention"] }), // prettier-ignore
  "raw weights, k = E": tinyConfig({ normTopkProb: false, numExpertsPerTok: 4 }),
};
const ids = [[1, 5, 2, 7, 3], [3, 3, 0, 10, 6]]; // prettier-ignore
/** Logits are below 100 here and pass through fewer than 200 roundings. */
const bound = 200 * u * 100;

describe.each(Object.entries(configs))("Qwen3: %s", (_, config) => {
  const model = async <T>(use: (model: Qwen3) => Promise<T> | T): Promise<void> => {
    await expectNoLeak(backend, async () => {
      const made = modelOf(config);
      await use(made);
      disposeAll(made);
    });
  };
  const logits = async (made: Qwen3, ...args: Parameters<Qwen3["forward"]>): Promise<number[]> => {
    const y = made.forward(...args);
    const all = await numbers(y);
    y.dispose();
    return all;
  };

  test("gives finite logits [B, T, V] and frees all else", () =>
    model(async (made) => {
      made.forward(ids).dispose(); // makes the RoPE table
      const before = usage(backend)[0];
      const y = made.forward(ids);
      expect([y.shape, y.dtype]).toEqual([[2, 5, 11], "f32"]); // prettier-ignore
      expect(usage(backend)[0]).toBe(before + 1);
      const all = await numbers(y);
      expect(all.every(Number.isFinite)).toBe(true);
      expect(new Set(all).size).toBeGreaterThan(50);
      y.dispose();
    }));

  test('"last" is the last row of "all", after each row\'s own last token', () =>
    model(async (made) => {
      const all = await logits(made, ids);
      const rows = all.length / 10;
      expect(await logits(made, ids, { logits: "last" })).toEqual([...all.slice(4 * rows, 5 * rows), ...all.slice(9 * rows)]); // prettier-ignore
      const mask = [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]; // prettier-ignore
      const positions = sequencePositions(2, 5, { mask });
      const padded = await logits(made, ids, { positions });
      const last = await logits(made, ids, { positions, logits: "last" });
      expect(last).toEqual([...padded.slice(2 * rows, 3 * rows), ...padded.slice(9 * rows)]);
    }));

  test("padding on either side changes no bit of the real rows", () =>
    model(async (made) => {
      const text = [4, 8, 1];
      const alone = await logits(made, [text]);
      const batch = [[...text, 9, 9], [9, 9, ...text]]; // prettier-ignore
      const positions = sequencePositions(2, 5, { mask: [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]] }); // prettier-ignore
      const all = await logits(made, batch, { positions });
      expect(all.slice(0, 33)).toEqual(alone);
      expect(all.slice(-33)).toEqual(alone);
    }));

  test("ids may be a tensor; the future and other rows change nothing", () =>
    model(async (made) => {
      const all = await logits(made, ids);
      const uploaded = ints(backend, ids.flat(), [2, 5]);
      expect(await logits(made, uploaded)).toEqual(all);
      uploaded.dispose();
      expect(await logits(made, [ids[1]])).toEqual(all.slice(55));
      expect(await logits(made, [ids[0].slice(0, 3)])).toEqual(all.slice(0, 33));
    }));

  test("with a cache, chunk by chunk, it gives the same, and a second cache knows nothing of the first", () =>
    model(async (made) => {
      const all = await logits(made, ids);
      using cache = made.makeCache({ batch: 2, capacity: 2 });
      using other = made.makeCache({ batch: 2 });
      const got: number[][] = [[], []];
      for (const [from, to] of [
        [0, 2],
        [2, 3],
        [3, 5],
      ]) {
        // prettier-ignore
        const part = await logits(made, ids.map((row) => row.slice(from, to)), { cache }); // prettier-ignore
        await logits(made, [[9], [9]], { cache: other }); // prettier-ignore
        got[0].push(...part.slice(0, part.length / 2));
        got[1].push(...part.slice(part.length / 2));
      }
      expect(cache.lengths).toEqual([5, 5]);
      expectWithin(got.flat(), all, all.map(() => bound)); // prettier-ignore
    }));

  test("with a cache, each row goes on where it ends itself", () =>
    model(async (made) => {
      using cache = made.makeCache({ batch: 2 });
      const positions = sequencePositions(2, 3, { mask: [[1, 1, 1], [1, 0, 0]] }); // prettier-ignore
      await logits(made, [[1, 5, 2], [3, 9, 9]], { cache, positions }); // prettier-ignore
      const next = await logits(made, [[7], [0]], { cache }); // prettier-ignore
      const alone = [await logits(made, [[1, 5, 2, 7]], { logits: "last" }), await logits(made, [[3, 0]], { logits: "last" })].flat(); // prettier-ignore
      expectWithin(next, alone, alone.map(() => bound)); // prettier-ignore
    }));

  test("routings come by layer index, from sparse layers only, and belong to the caller", () =>
    model(async (made) => {
      const routings = new Map<number, Routing>();
      const y = made.forward(ids, { routings });
      const sparse = [...Array(config.numHiddenLayers).keys()].filter((i) => config.numExperts > 0 && !config.mlpOnlyLayers.includes(i)); // prettier-ignore
      expect([...routings.keys()]).toEqual(sparse);
      for (const { experts, logits, weights } of routings.values()) {
        expect([logits.shape, experts.shape]).toEqual([[2, 5, 4], [2, 5, config.numExpertsPerTok]]); // prettier-ignore
        expect((await numbers(experts)).every((e) => e >= 0 && e < 4)).toBe(true);
        for (const each of [experts, logits, weights]) each.dispose();
      }
      y.dispose();
    }));
});

describe("Qwen3", () => {
  test("what it refuses leaves nothing and changes no cache", async () => {
    const model = modelOf(tinyConfig());
    model.forward([[1]]).dispose();
    using cache = model.makeCache({ batch: 2, maxLength: 4 });
    const full = [[1, 2, 3], [4, 5, 6]]; // prettier-ignore
    model.forward(full, { cache }).dispose();
    const bad: [() => unknown, new (...args: never[]) => Error][] = [
      [() => model.forward([[1, 11]]), IndexError],
      [() => model.forward([[-1]]), IndexError],
      [() => model.forward([[0.5]]), IndexError],
      [() => model.forward([[NaN]]), IndexError],
      [() => model.forward([[1, 2], [3]]), ShapeError], // prettier-ignore
      [() => model.forward(full, { positions: sequencePositions(1, 3) }), ShapeError],
      [() => model.forward([[1]], { cache }), ShapeError],
      [() => model.forward(ints(backend, [1, 2], [2])), ShapeError],
      [() => model.forward(full, { cache }), CapacityError],
      [() => model.forward([[1], [99]], { cache }), IndexError], // prettier-ignore
    ];
    for (const [use, kind] of bad) {
      await expectNoLeak(backend, () => scope(() => void expect(use).toThrow(kind)));
      expect(cache.lengths).toEqual([3, 3]);
    }
    expect(() => model.forward([[1, 2, 7], [3, 4, 11]])).toThrow(/11.*row 1 at 2/); // prettier-ignore
  });

  test("an exception in the middle of a layer frees everything", async () => {
    let calls = 0;
    const failing: Backend = {
      ...backend,
      kernels: {
        ...backend.kernels,
        attention: (...args) => (++calls > 1 ? expect.fail("broken") : backend.kernels.attention?.(...args)),
      },
    };
    const model = new Qwen3(livelyWeights(failing, 3), tinyConfig());
    const before = usage(backend)[0];
    expect(() => model.forward(ids, { routings: new Map() })).toThrow("broken");
    expect(calls).toBe(2);
    // The RoPE table is the model's own.
    expect(usage(backend)[0]).toBe(before + 1);
    disposeAll(model);
  });

  test("a contradictory config is refused before a weight is made", async () => {
    await expectNoLeak(backend, () => {
      for (const change of [
        { headDim: 3 },
        { numExpertsPerTok: 5 },
        { numKeyValueHeads: 3 },
        { normTopkProb: undefined },
      ]) {
        // prettier-ignore
        expect(() => modelOf(tinyConfig(change as Partial<Qwen3Config>))).toThrow(ConfigError);
      }
    });
  });

  test("the tied head is the embedding: one tensor, and both uses follow it", async () => {
    const model = modelOf(denseConfig({ tieWordEmbeddings: true }));
    expect(model.lmHead).toBeUndefined();
    const table = parameters(model).get("embedTokens.weight");
    const before = await numbers(model.forward([[1]]));
    const all = await numbers(table as NonNullable<typeof table>);
    // Token 4's row doubled: its logit doubles, all others stay.
    table?.write(Float32Array.from(all.slice(24, 30), (x) => 2 * x), 24); // prettier-ignore
    const after = await numbers(model.forward([[1]]));
    expect(after).toEqual(before.map((x, i) => (i === 4 ? Math.fround(2 * x) : x)));
  });

  test("a cache has the model's layers, heads and context", () => {
    const model = modelOf(tinyConfig());
    const cache = model.makeCache();
    expect(cache).toBeInstanceOf(DenseCache);
    expect([cache.maxLength, cache.lengths]).toEqual([64, [0]]); // prettier-ignore
    model.forward([[1, 2]], { cache }).dispose();
    expect(cache.pool(1).k.shape.slice(1)).toEqual([2, 4]);
    expect(() => cache.pool(2)).toThrow(IndexError);
    cache.dispose();
  });

  test("a sliding layer sees its window, a full one everything", async () => {
    const last = async (change: Partial<Qwen3Config>, text: number[]): Promise<number[]> =>
      numbers(modelOf(tinyConfig({ numHiddenLayers: 1, ...change })).forward([text], { logits: "last" }));
    for (const [change, reach] of [
      [{ slidingWindow: 2 }, 2],
      [{ slidingWindow: 3, layerTypes: ["sliding_attention"] }, 3],
      [{ slidingWindow: 2, layerTypes: ["full_attention"] }, 5],
      // Layers of windows 2 and 2 pass on what is 1 + 1 tokens back.
      [{ slidingWindow: 2, numHiddenLayers: 2 }, 3],
      [{ slidingWindow: 2, numHiddenLayers: 2, layerTypes: ["sliding_attention", "full_attention"] }, 5],
    ] as const) {
      const text = [1, 5, 2, 7, 3];
      const before = await last(change, text);
      for (let at = 0; at < 5; at++) {
        const after = await last(
          change,
          text.map((id, t) => (t === at ? 9 : id)),
        );
        expect(
          after.some((x, i) => x !== before[i]),
          `${JSON.stringify(change)} at ${at}`,
        ).toBe(at >= 5 - reach);
      }
    }
  });

  test("padding visits no expert", async () => {
    const routings = new Map<number, Routing>();
    const positions = sequencePositions(1, 3, { mask: [[0, 1, 1]] });
    modelOf(tinyConfig()).forward([[1, 2, 3]], { positions, routings });
    expect(routings.size).toBe(2);
    for (const { experts, weights } of routings.values()) {
      expect((await numbers(experts)).map((e) => e >= 0)).toEqual([false, false, true, true, true, true]);
      expect((await numbers(weights)).slice(0, 2)).toEqual([0, 0]);
    }
  });

  test("the toy preset runs", async () => {
    await expectNoLeak(backend, async () => {
      const model = modelOf(presets.toy);
      const y = model.forward([[1, 2, 3]], { logits: "last" });
      expect(y.shape).toEqual([1, 1, presets.toy.vocabSize]);
      expect((await numbers(y)).every(Number.isFinite)).toBe(true);
      y.dispose();
      disposeAll(model);
    });
    expect(tensor(backend, [1]).shape).toEqual([1]);
  });
});
