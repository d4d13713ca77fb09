// Training steps: accumulation, resuming, what is reported, and what goes wrong.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  add,
  disposeAll,
  loadBalancingLoss,
  mul,
  parameters,
  presets,
  Qwen3,
  Random,
  randomWeights,
  routerZLoss,
  tensor,
  valueAndGrad,
  type Backend,
  type Qwen3Config,
  type Routing,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { loadTrainingState, saveTrainingState } from "qwen-blocks/io";
import {
  AdamW,
  cosineSchedule,
  globalNorm,
  linearSchedule,
  ignoredTarget,
  nextTokenLoss,
  sampleBatch,
  evaluate,
  train,
  Trainer,
  type Batch,
  type TrainerOptions,
} from "qwen-blocks/train";
import { beforeEach, describe, expect, test, vi } from "vitest";

const config: Qwen3Config = {
  ...presets.toy,
  vocabSize: 32,
  hiddenSize: 16,
  headDim: 8,
  numAttentionHeads: 2,
  numExperts: 6,
  numExpertsPerTok: 2,
  moeIntermediateSize: 8,
};
const text = Uint8Array.from({ length: 400 }, (_, i) => (i * i + (i >> 3)) % 32);
const shape = { contextLength: 12, batchSize: 3 };
const schedule = cosineSchedule({ peak: 1e-2, warmupSteps: 2, totalSteps: 8 });

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

function setUp(over: Partial<Qwen3Config> = {}, routerAuxLossCoef = 0.01) {
  const model = new Qwen3(randomWeights(backend, 5), { ...config, ...over });
  const optimizer = new AdamW(parameters(model));
  return { model, optimizer, trainer: new Trainer(model, { optimizer, schedule, routerAuxLossCoef, maxGradNorm: 1 }) };
}

async function bits(tensors: ReadonlyMap<string, Tensor>): Promise<Map<string, ArrayLike<number>>> {
  const found = new Map<string, ArrayLike<number>>();
  for (const [name, each] of tensors) found.set(name, await each.data());
  return found;
}

describe("Trainer", () => {
  test("learns, reports each step, and leaves nothing behind", async () => {
    const { model, optimizer, trainer } = setUp();
    const held = backend.memory.usage().buffers;
    const reports = [];
    for await (const report of train(trainer, text, { ...shape, steps: 8, random: new Random(1) }))
      reports.push(report);
    expect(reports.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(reports[7].loss).toBeLessThan(reports[0].loss);
    expect(reports[0].learningRate).toBe(schedule(0));
    expect(reports[0].tokens).toBe(36);
    // Every token fills two slots in each of two layers.
    expect([...reports[0].loads.values()].map((load) => load.reduce((a, b) => a + b))).toEqual([72, 72]);
    expect(backend.memory.usage().buffers).toBe(held + 1); // the RoPE table
    optimizer.dispose();
    disposeAll(model);
    expect(backend.memory.usage().buffers).toBe(0);
  });

  test("several batches at once give the gradients of one large batch", async () => {
    // The balance loss is no mean over batches, so it stays out.
    const [whole, parts] = [setUp({}, 0), setUp({}, 0)];
    const batch = sampleBatch(text, { contextLength: 12, batchSize: 4 }, new Random(2));
    const half = (from: number): Batch => ({
      shape: [2, 12],
      inputs: batch.inputs.slice(from * 12, (from + 2) * 12),
      targets: batch.targets.slice(from * 12, (from + 2) * 12),
      counted: 24,
    });
    const one = await whole.trainer.step([batch]);
    const two = await parts.trainer.step([half(0), half(2)]);
    // Sums of 48 terms in another order.
    expect(Math.abs(two.loss - one.loss)).toBeLessThan(48 * one.loss * 2 ** -23);
    expect(Math.abs(two.gradNorm - one.gradNorm)).toBeLessThan(96 * one.gradNorm * 2 ** -23);
  });

  test.each([
    ["the cross entropy alone", 0, 0],
    ["the balance loss", 0.5, 0],
    ["the z-loss", 0, 0.25],
  ])("differentiates %s with its weight; batches weigh as much as they have targets", async (_, auxCoef, zCoef) => {
    const { model, optimizer } = setUp();
    const options = { optimizer, schedule, routerAuxLossCoef: auxCoef, routerZLossCoef: zCoef };
    const full = sampleBatch(text, shape, new Random(2));
    const drawn = sampleBatch(text, shape, new Random(3));
    const sparse: Batch = {
      ...drawn,
      targets: drawn.targets.map((id, i) => (i % 4 === 0 ? id : ignoredTarget)),
      counted: 9,
    };
    const { grads } = valueAndGrad(parameters(model), () => {
      const losses = [full, sparse].map(({ inputs, targets, counted }) => {
        const routings = new Map<number, Routing>();
        const rows = [0, 12, 24].map((at) => inputs.subarray(at, at + 12));
        const loss = nextTokenLoss(model.forward(rows, { routings }), tensor(backend, targets, [3, 12]));
        const router = add(mul(loadBalancingLoss(routings), auxCoef), mul(routerZLoss(routings), zCoef));
        return mul(add(loss, router), counted / 45);
      });
      return add(losses[0], losses[1]);
    });
    const expected = (await globalNorm(grads).data())[0];
    const { gradNorm } = await new Trainer(model, options).step([full, sparse]);
    // Sums of two times 36 terms in another order.
    expect(Math.abs(gradNorm - expected)).toBeLessThan(144 * expected * 2 ** -23);
  });

  test("a router loss's weight may be a schedule", async () => {
    const batch = sampleBatch(text, shape, new Random(2));
    const norms = async (options: Partial<TrainerOptions>): Promise<number[]> => {
      const { model, optimizer } = setUp();
      const still = { optimizer, schedule: () => 0, routerAuxLossCoef: 0, ...options };
      const trainer = new Trainer(model, still);
      return [(await trainer.step([batch])).gradNorm, (await trainer.step([batch])).gradNorm];
    };
    // Falls from 0.5 to 0 in one step; nothing moves, so the second step's gradient is that without the loss.
    const decay = linearSchedule({ peak: 0.5, warmupSteps: 0, totalSteps: 1 });
    const [[without], [aux], [z]] = [await norms({}), await norms({ routerAuxLossCoef: 0.5 }), await norms({ routerZLossCoef: 0.5 })]; // prettier-ignore
    expect(await norms({ routerAuxLossCoef: decay })).toEqual([aux, without]);
    expect(await norms({ routerZLossCoef: decay })).toEqual([z, without]);
    expect(new Set([without, aux, z]).size).toBe(3);
  });

  test("takes the balance loss as it is told", async () => {
    const batch = sampleBatch(text, shape, new Random(2));
    const { model, optimizer } = setUp();
    const options = { optimizer, schedule: () => 0, routerAuxLossCoef: 0.5 };
    const routings = new Map<number, Routing>();
    model.forward([0, 12, 24].map((at) => batch.inputs.subarray(at, at + 12)), { routings }); // prettier-ignore
    const found = [];
    for (const balance of [undefined, { reduction: "perLayer" }, { score: "sigmoid" }] as const) {
      found.push((await new Trainer(model, { ...options, balance }).step([batch])).auxLoss);
      expect(found).toContain((await loadBalancingLoss(routings, balance).data())[0]);
    }
    expect(new Set(found).size).toBe(3);
  });

  test("a saved run goes on bit for bit", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "qwen-blocks-")), "state.safetensors");
    const through = setUp();
    const random = new Random(3);
    for await (const { step } of train(through.trainer, text, { ...shape, steps: 6, random })) {
      if (step !== 2) continue;
      const state = { steps: through.optimizer.steps, random: { ...random.state } };
      await saveTrainingState(path, { model: parameters(through.model), optimizer: through.optimizer.state, state });
    }

    const resumed = setUp();
    const saved = await loadTrainingState(path);
    await saved.restore({ model: parameters(resumed.model), optimizer: resumed.optimizer.state });
    const state = saved.state as { steps: number; random: { seed: number; counter: number } };
    resumed.optimizer.resume(state.steps);
    const steps = [];
    for await (const report of train(resumed.trainer, text, {
      ...shape,
      steps: 6,
      random: Random.fromState(state.random),
    }))
      steps.push(report.step);
    expect(steps).toEqual([3, 4, 5]);
    expect(await bits(parameters(resumed.model))).toEqual(await bits(parameters(through.model)));
    expect(await bits(resumed.optimizer.state)).toEqual(await bits(through.optimizer.state));
  });

  test("an abort stops before the next step", async () => {
    const { trainer } = setUp();
    const stop = new AbortController();
    for await (const { step } of train(trainer, text, {
      ...shape,
      steps: 8,
      random: new Random(1),
      signal: stop.signal,
    })) {
      if (step === 1) stop.abort();
    }
    expect(trainer.steps).toBe(2);
  });

  test("warns once when a router loss has a weight and no routing arrives", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { trainer } = setUp({ mlpOnlyLayers: [0, 1] });
    const batch = sampleBatch(text, shape, new Random(1));
    expect((await trainer.step([batch])).auxLoss).toBeNaN();
    await trainer.step([batch]);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn.mock.calls[0][0]).toContain("no routing");
    warn.mockRestore();
  });

  test("ids outside the vocabulary change nothing", async () => {
    const { model, optimizer, trainer } = setUp();
    const before = await bits(parameters(model));
    const held = backend.memory.usage().buffers;
    const batch = sampleBatch(text, shape, new Random(1));
    await expect(trainer.step([{ ...batch, inputs: batch.inputs.map(() => 32) }])).rejects.toMatchObject({
      code: "INDEX",
    });
    await expect(trainer.step([{ ...batch, targets: batch.targets.map(() => 32) }])).rejects.toMatchObject({
      code: "INDEX",
    });
    await expect(trainer.step([{ ...batch, counted: 0 }])).rejects.toMatchObject({ code: "CONFIG" });
    expect(optimizer.steps).toBe(0);
    expect(await bits(parameters(model))).toEqual(before);
    expect(backend.memory.usage().buffers).toBeLessThanOrEqual(held + 1); // the RoPE table
  });

  test("evaluation is the mean over all targets", async () => {
    const { model } = setUp();
    const batch = sampleBatch(text, shape, new Random(4));
    const alone = await evaluate(model, [batch]);
    expect(Math.abs((await evaluate(model, [batch, batch])) - alone)).toBeLessThan(1e-12);
    expect(Math.abs(alone - Math.log(32))).toBeLessThan(0.2);
  });
});
