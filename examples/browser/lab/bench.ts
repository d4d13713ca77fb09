// The model on one backend, with all that training needs; taken down to plain numbers, and set up again elsewhere.
import { Qwen3, disposeAll, parameters, randomWeights, tensor, weightsFrom } from "qwen-blocks";
import type { Backend, Qwen3Config, Tensor, Weights } from "qwen-blocks";
import { loadModel, openCheckpoint, qwen3Names } from "qwen-blocks/io";
import { AdamW, Trainer } from "qwen-blocks/train";
import type { Carried } from "./carried.js";

export type Numbers = ReadonlyMap<string, Float32Array>;

/** A model outside of any backend. */
export interface Snapshot {
  readonly model: Numbers;
  readonly moments: Numbers;
  readonly steps: number;
  readonly peakRate: number;
}

/** What the page changes while the model trains. */
export interface Steering {
  /** Weight of the load-balancing loss. */
  coefficient: number;
}

export interface Bench {
  readonly backend: Backend;
  readonly model: Qwen3;
  readonly trainer: Trainer;
  readonly optimizer: AdamW;
  readonly peakRate: number;
}

/** Where a model that was trained already goes on: half of what one that begins can bear, so that it loses nothing. */
const rates = { random: 1e-2, carried: 5e-3 } as const;
const warmupSteps = 20;

/** Weights that nobody trained. */
export function randomBench(backend: Backend, carried: Carried, seed: number, steering: Steering): Bench {
  const model = build(randomWeights(backend, seed, carried.config), carried.config);
  return benchOf(model, carried, rates.random, steering);
}

/** The weights that the page was built with; random ones where there are none. */
export async function carriedBench(backend: Backend, carried: Carried, steering: Steering): Promise<Bench> {
  const { checkpoint, config } = carried;
  if (checkpoint === undefined) return randomBench(backend, carried, 1, steering);
  const model = await loadModel(backend, await openCheckpoint(checkpoint), (w) => build(w, config), {
    names: qwen3Names(config),
  });
  return benchOf(model, carried, rates.carried, steering);
}

export function benchFrom(backend: Backend, snapshot: Snapshot, carried: Carried, steering: Steering): Bench {
  const model = modelFrom(backend, snapshot, carried.config);
  const bench = benchOf(model, carried, snapshot.peakRate, steering);
  for (const [path, moment] of bench.optimizer.state) moment.write(snapshot.moments.get(path) as Float32Array);
  bench.optimizer.resume(snapshot.steps);
  return bench;
}

export function modelFrom(backend: Backend, snapshot: Snapshot, config: Qwen3Config): Qwen3 {
  const take = (path: string, shape: readonly number[]): Tensor =>
    tensor(backend, snapshot.model.get(path) as Float32Array, shape);
  return build(weightsFrom(backend, take), config);
}

export async function snapshotOf({ model, optimizer, peakRate }: Bench): Promise<Snapshot> {
  return {
    model: await numbersOf(parameters(model)),
    moments: await numbersOf(optimizer.state),
    steps: optimizer.steps,
    peakRate,
  };
}

export function disposeBench({ model, optimizer }: Bench): void {
  optimizer.dispose();
  disposeAll(model);
}

function build(w: Weights, config: Qwen3Config): Qwen3 {
  return new Qwen3(w, config);
}

function benchOf(model: Qwen3, { weightDecay, maxGradNorm }: Carried, peakRate: number, steering: Steering): Bench {
  const optimizer = new AdamW(parameters(model), { weightDecay });
  const trainer = new Trainer(model, {
    optimizer,
    schedule: (step) => peakRate * Math.min(1, (step + 1) / warmupSteps),
    routerAuxLossCoef: () => steering.coefficient,
    maxGradNorm,
  });
  return { backend: model.backend, model, trainer, optimizer, peakRate };
}

async function numbersOf(tensors: ReadonlyMap<string, Tensor>): Promise<Numbers> {
  const numbers = new Map<string, Float32Array>();
  for (const [path, tensor] of tensors) numbers.set(path, (await tensor.data()) as Float32Array);
  return numbers;
}
