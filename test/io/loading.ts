// What the tests of loading share: a model out of shapes, its numbers, and why a load failed.
import { afterAll, expect } from "vitest";
import { cpu } from "../../src/backends/cpu/index.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { loadModel, type LoadOptions } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import type { Source } from "../../src/io/source.js";
import { disposeAll, type Parameter } from "../../src/layers/layer.js";
import type { Weights } from "../../src/layers/weights.js";
import type { Tensor } from "../../src/tensor/tensor.js";

export const backend = await cpu();
// Every test frees what it loads, and every failed load has freed it.
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

/** A model out of paths and shapes. */
export const building =
  (shapes: Record<string, readonly number[]>) =>
  (w: Weights): Record<string, Parameter> =>
    Object.fromEntries(Object.entries(shapes).map(([path, shape]) => [path, w.take(path, shape, "normal")]));

/** The numbers of each parameter after loading a model of these shapes. */
export async function load(
  file: Uint8Array | Source,
  shapes: Record<string, readonly number[]>,
  options?: LoadOptions,
): Promise<Record<string, number[]>> {
  const model = await loadModel(backend, await openCheckpoint(file), building(shapes), options);
  const numbers: Record<string, number[]> = {};
  for (const [path, tensor] of Object.entries(model)) numbers[path] = [...(await (tensor as Tensor).data())];
  disposeAll(model);
  return numbers;
}

/** Why loading failed; checks that it has freed all it took. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  const before = backend.memory.usage();
  const error = await promise.then(
    () => new Error("did not fail"),
    (error: unknown) => error as Error,
  );
  expect(backend.memory.usage()).toEqual(before);
  return error;
}

export const heads = { numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 2 };
export const names = qwen3Names(heads);
export const upTo = (end: number, start = 0): number[] => Array.from({ length: end - start }, (_, i) => start + i);
