// Nothing blocks the host for long: a timer fires within a loop of forward passes, and an AbortSignal, also one that a timer raises, ends
// generation and training within two steps, with all memory back.
import { disposeAll, generate, parameters, Qwen3, Random, type Backend } from "qwen-blocks";
import { AdamW, cosineSchedule, train, Trainer } from "qwen-blocks/train";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { expectNoLeak } from "../tensor/numbers.js";

const config = tinyConfig({ maxPositionEmbeddings: 20_000 });
const text = Uint8Array.from({ length: 100 }, (_, i) => (i * i) % 11);
const steps = 100_000;

/** Steps of any kind, one after the other, until the signal ends them. */
type Steps = (backend: Backend, signal: AbortSignal) => AsyncGenerator<unknown>;
const loops: Readonly<Record<string, Steps>> = {
  async *generation(backend, signal) {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    try {
      yield* generate(model, [1, 2, 3], { temperature: 1, maxNewTokens: 10_000, signal });
    } catch (error) {
      if (error !== signal.reason) throw error;
    } finally {
      disposeAll(model);
    }
  },
  async *training(backend, signal) {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    const optimizer = new AdamW(parameters(model));
    const schedule = cosineSchedule({ peak: 1e-3, warmupSteps: 1, totalSteps: steps });
    const trainer = new Trainer(model, { optimizer, schedule, routerAuxLossCoef: 0.01, routerZLossCoef: 0 });
    try {
      yield* train(trainer, text, { steps, contextLength: 4, batchSize: 1, random: new Random(1), signal });
    } finally {
      disposeAll(optimizer);
      disposeAll(model);
    }
  },
};

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("a timer fires within a loop of forward passes", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    let fired = false;
    setTimeout(() => (fired = true), 5);
    const end = performance.now() + 10_000;
    while (!fired && performance.now() < end) {
      const logits = model.forward([[1, 2, 3]]);
      await logits.data();
      logits.dispose();
    }
    expect(fired).toBe(true);
    disposeAll(model);
  });

  test.each(Object.entries(loops))("an abort ends %s within two steps", async (_, loop) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), async (abortAt) => {
        await expectNoLeak(backend, async () => {
          const controller = new AbortController();
          let taken = 0;
          for await (const _ of loop(backend, controller.signal)) if (++taken === abortAt) controller.abort();
          expect(taken - abortAt).toBeLessThanOrEqual(2);
        });
      }),
      { numRuns: runs(4) },
    );
  });

  test.each(Object.entries(loops))("an abort from a timer ends %s within two steps", async (_, loop) => {
    await expectNoLeak(backend, async () => {
      const controller = new AbortController();
      let taken = 0;
      let atAbort = Infinity;
      setTimeout(() => {
        atAbort = taken;
        controller.abort();
      }, 30);
      for await (const _ of loop(backend, controller.signal)) taken++;
      expect(taken - atAbort).toBeLessThanOrEqual(2);
      expect(taken).toBeLessThan(10_000);
    });
  });
});
