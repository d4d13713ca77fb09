// Attention functions: all keep one law, a user's own among them; wrong ones are found; `auto` says what it picks; models take them by name.
import {
  attention, attentionFunctions, ConfigError, keep, mul, neg, Qwen3, scope, sequencePositions, ShapeError, stepWithoutCache, stopGradient, sum, trace,
  valueAndGrad, type AttentionFunction, type Backend, type Kernels, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { attentionFunctionCases, BrokenLaw } from "qwen-blocks/testing";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { bits, expectNoLeak, normal } from "../tensor/numbers.js";

const { auto, flash, eager } = attentionFunctions;
/** A way of one's own: the scale goes into the queries, so the op's is 1. */
const mine: AttentionFunction = (q, k, v, queries, keys, attrs) =>
  attention(mul(q, attrs.scale), k, v, queries, keys, { ...attrs, scale: 1 });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test.each(Object.entries({ eager, mine }))("%s keeps the law", async (name, attend) => {
    const [{ run }] = attentionFunctionCases(backend, { [name]: attend }, { seed: inject("fcSeed"), runs: runs(12) });
    await run();
  });
});

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
/** The same memory with the primitives alone. */
const bare = (): Backend => {
  const kept = Object.entries(backend.kernels).filter(([name]) => !/attention|softmax|linear/i.test(name));
  return { ...backend, kernels: Object.fromEntries(kept) as unknown as Kernels };
};
const attrs = { scale: 0.5, causal: true, window: 0, sinks: 0, softcap: 0 };
/** A call for one text of `tokens` tokens. */
const call = (where: Backend, tokens: number, attend: AttentionFunction, heads = 2): Tensor =>
  scope(() => {
    const [k, v] = [2, 3].map((seed) => normal(where, seed, [tokens, heads, 4]));
    const { queries, keys } = stepWithoutCache(where, sequencePositions(1, tokens));
    return attend(normal(where, 1, [1, tokens, heads, 4]), k, v, queries, keys, attrs);
  });

describe("the law", () => {
  const wrong: Record<string, AttentionFunction> = {
    "no sinks": (q, k, v, queries, keys, attrs) => attention(q, k, v, queries, keys, { ...attrs, sinks: 0 }),
    "no window": (q, k, v, queries, keys, attrs) => attention(q, k, v, queries, keys, { ...attrs, window: 0 }),
    "one more in the window": (q, k, v, queries, keys, attrs) =>
      attention(q, k, v, queries, keys, { ...attrs, window: attrs.window && attrs.window + 1 }),
    "the future": (q, k, v, queries, keys, attrs) => attention(q, k, v, queries, keys, { ...attrs, causal: false }),
    "no soft-cap": (q, k, v, queries, keys, attrs) => attention(q, k, v, queries, keys, { ...attrs, softcap: 0 }),
    "another scale": (q, k, v, queries, keys, attrs) =>
      attention(q, k, v, queries, keys, { ...attrs, scale: attrs.scale * (1 + 2 ** -18) }),
    "no gradient of the queries": (q, k, v, queries, keys, attrs) =>
      attention(stopGradient(q), k, v, queries, keys, attrs),
    "an operand that changes": (q, ...rest) => {
      const y = attention(q, ...rest);
      q.write(new Float32Array(q.size));
      return y;
    },
    "a tensor left behind": (q, ...rest) => (left.push(keep(neg(q))), attention(q, ...rest)),
  };
  const left: Tensor[] = [];

  test.each(Object.entries(wrong))("finds %s", async (name, attend) => {
    const [{ run }] = attentionFunctionCases(backend, { [name]: attend }, { seed: 3, runs: 40 });
    await expect(run()).rejects.toThrow(BrokenLaw);
  });

  test("a failure tells how to see it again", async () => {
    const broken = async (path?: string): Promise<BrokenLaw> => {
      const [{ run }] = attentionFunctionCases(backend, { mine: wrong["another scale"] }, { seed: 3, path });
      return run().then(
        () => expect.fail("no law was broken"),
        (error: BrokenLaw) => error,
      );
    };
    const { message, again } = await broken();
    expect(message).toContain(`attentionFunctionCases(backend, { mine }, { seed: 3, path: "${again.path}" })`);
    expect((await broken(again.path)).message).toBe(message);
  });

  test("needs something to draw", () => {
    expect(() => attentionFunctionCases(backend, { mine }, { runs: 0 })).toThrow(ConfigError);
  });
});

describe("auto", () => {
  const picks = (where: Backend, tokens: number, heads?: number): readonly string[] => {
    const { result, choices } = trace(() => call(where, tokens, auto, heads));
    result.dispose();
    return choices.map(({ text }) => text);
  };

  test("takes the kernel where there is one; without one, keeps scores for the gradient while they are few", () => {
    expect(picks(backend, 1)).toEqual(["attention: auto picks flash"]);
    expect(picks(bare(), 1)).toEqual(["attention: auto picks eager"]);
    expect(picks(bare(), 128, 64)).toEqual(["attention: auto picks eager"]); // 2^20 scores
    expect(picks(bare(), 129, 64)).toEqual(["attention: auto picks flash"]);
  });

  test("the trace prints the pick where it is made", () => {
    const { lines, choices, toString } = trace(() => call(bare(), 2, auto));
    const text = toString().split("\n");
    expect(text).toHaveLength(lines.length + 1);
    expect(text[choices[0].line]).toBe("attention: auto picks eager");
    expect(text[choices[0].line + 1]).toMatch(/^slice\(i32/);
  });

  test("gives the bits of what it picks", async () => {
    for (const where of [backend, bare()]) {
      const pick = where === backend ? flash : eager;
      expect(await bits(call(where, 5, auto))).toEqual(await bits(call(where, 5, pick)));
    }
  });
});

describe("eager", () => {
  const loss = (v: Tensor): Tensor => {
    const { queries, keys } = stepWithoutCache(backend, sequencePositions(1, 3));
    return sum(eager(normal(backend, 2, [1, 3, 2, 4]), v, v, queries, keys, attrs), [0, 1, 2, 3]);
  };
  test("frees all it makes, with a gradient or without", async () => {
    await expectNoLeak(backend, () => call(backend, 3, eager).dispose());
    await expectNoLeak(backend, () => {
      const v = normal(backend, 1, [3, 2, 4]);
      const { value, grads } = valueAndGrad(new Map([["v", v]]), () => ({ loss: loss(v) }));
      for (const made of [v, value.loss, ...grads.values()]) made.dispose();
    });
  });

  test("refuses what the op refuses", () => {
    const wrong: AttentionFunction = (q, k, v, queries, keys, attrs) =>
      eager(q, normal(backend, 1, [2, 3, 4]), v, queries, keys, attrs);
    expect(() => call(backend, 2, wrong)).toThrow(ShapeError);
  });
});

describe("Qwen3", () => {
  const config = tinyConfig();
  test("takes a function by the name that its config has", async () => {
    let calls = 0;
    const counted: AttentionFunction = (...all) => (calls++, flash(...all));
    const functions = { ...attentionFunctions, counted };
    const model = new Qwen3(livelyWeights(backend, 1), { ...config, attnImplementation: "counted" }, { attentionFunctions: functions }); // prettier-ignore
    const plain = new Qwen3(livelyWeights(backend, 1), config);
    expect(await bits(model.forward([[1, 2, 3]]))).toEqual(await bits(plain.forward([[1, 2, 3]])));
    expect(calls).toBe(config.numHiddenLayers);
    const { choices } = trace(() => plain.forward([[1, 2, 3]]));
    expect(choices).toHaveLength(config.numHiddenLayers);
  });

  test.each(["sdpa", "constructor", ""])("refuses the name %j and says which there are", (attnImplementation) => {
    const make = (): Qwen3 => new Qwen3(livelyWeights(backend, 1), { ...config, attnImplementation });
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(`must be one of auto, flash, eager, got "${attnImplementation}"`);
  });

  test("the record is frozen", () => {
    expect(Object.isFrozen(attentionFunctions)).toBe(true);
    expect(Object.keys(attentionFunctions)).toEqual(["auto", "flash", "eager"]);
  });
});
