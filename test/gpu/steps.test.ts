// Many steps of a tiny model: what the device and the memory hold afterwards is what they held after the first ones, and equal runs give equal
// bits.
import { DecodeStep, generate, parameters, Qwen3, Random, topK, disposeAll } from "qwen-blocks";
import { AdamW, cosineSchedule, train, Trainer, type StepReport } from "qwen-blocks/train";
import type { WebGpuBackend } from "qwen-blocks/webgpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { bits, expectNoLeak } from "../tensor/numbers.js";
import { openInNode } from "./dawn.js";

const config = tinyConfig({ maxPositionEmbeddings: 2048 });
const patience = 300_000;

let backend: WebGpuBackend;
beforeAll(async () => {
  backend = await openInNode();
});
afterAll(() => backend[Symbol.asyncDispose]());

/** What is held by device and memory. Work done so far is left out, which only grows. */
function held(): object {
  const { pipelines, bindGroups, buffers } = backend.counters();
  return { pipelines, bindGroups, buffers, usage: backend.memory.usage() };
}

describe("nothing grows", () => {
  test("in 1,000 recorded decode steps", { timeout: patience }, async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    model.layers[0].selfAttn.rope.table(1024); // it stays with the model
    await expectNoLeak(backend, async () => {
      using cache = model.makeCache({ capacity: 1024, maxLength: 1024 });
      using step = new DecodeStep(model, cache, (logits) => topK(logits, 1).indices);
      let id = 1;
      let first: object = {};
      for (let i = 0; i < 1000; i++) {
        [id] = await step.run([id]).data();
        if (i === 10) first = held();
      }
      expect(held()).toEqual(first);
    });
    disposeAll(model);
  });

  test("in 100 training steps, which learn the text", { timeout: patience }, async () => {
    const reports: StepReport[] = [];
    let first: object = {};
    await expectNoLeak(backend, () =>
      training(100, (report) => {
        if (reports.push(report) === 10) first = held();
        if (reports.length === 100) expect(held()).toEqual(first);
      }),
    );
    expect(reports[99].loss).toBeLessThan(reports[0].loss / 2);
  });
});

/** Trains a model on a text of period 4. */
async function training(steps: number, onReport: (report: StepReport) => void): Promise<void> {
  const model = new Qwen3(livelyWeights(backend, 2), config);
  const optimizer = new AdamW(parameters(model));
  const schedule = cosineSchedule({ peak: 1e-2, warmupSteps: 3, totalSteps: steps });
  const trainer = new Trainer(model, {
    optimizer,
    schedule,
    routerAuxLossCoef: 0.01,
    routerZLossCoef: 1e-3,
    maxGradNorm: 1,
  });
  const text = Uint8Array.from({ length: 200 }, (_, i) => [1, 5, 2, 9][i % 4]);
  for await (const report of train(trainer, text, { steps, contextLength: 8, batchSize: 2, random: new Random(1) })) {
    onReport(report);
  }
  disposeAll(optimizer);
  disposeAll(model);
}

describe("equal runs give equal bits", () => {
  test("in training", { timeout: patience }, async () => {
    const runs: StepReport[][] = [[], []];
    for (const reports of runs) await training(5, (report) => reports.push(report));
    expect(runs[1]).toEqual(runs[0]);
  });

  test("in drawn text", async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    const texts: number[][] = [[], []];
    for (const text of texts) {
      const options = { maxNewTokens: 20, temperature: 1, random: new Random(4) };
      for await (const id of generate(model, [1, 5, 2], options)) text.push(id);
    }
    expect(texts[1]).toEqual(texts[0]);
    disposeAll(model);
  });

  test("on backends opened apart", async () => {
    await using other = await openInNode();
    const logits = [backend, other].map((where) => new Qwen3(livelyWeights(where, 1), config).forward([[1, 5, 2]]));
    expect(await bits(logits[1])).toEqual(await bits(logits[0]));
  });
});
