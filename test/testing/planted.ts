// Backends with a bug planted in one kernel, and what a case of the suite says of them.
import type { Backend, OpName } from "../../src/backends/backend.js";
import type { View } from "../../src/core/view.js";
import { conformanceCases, type ConformanceOptions } from "../../src/testing/conformance.js";

type Views = readonly (View | undefined)[];

/** What a kernel becomes: it may call the honest one. */
export type Plant = (
  run: (inputs?: Views, attrs?: object) => unknown,
  inputs: readonly View[],
  outputs: readonly View[],
  attrs: never,
) => unknown;

export function withKernel(honest: Backend, op: OpName, plant: Plant): Backend {
  const kernel = honest.kernels[op] as unknown as (inputs: Views, outputs: Views, attrs: object) => unknown;
  const wrong = (inputs: readonly View[], outputs: readonly View[], attrs: object): unknown =>
    plant(
      (other: Views = inputs, changed: object = attrs) => kernel(other, outputs, changed),
      inputs,
      outputs,
      attrs as never,
    );
  return { ...honest, kernels: { ...honest.kernels, [op]: wrong } };
}

/** What the case says of a backend; undefined if it passes. */
export async function verdict(
  backend: Backend,
  name: string,
  options: Omit<ConformanceOptions, "only" | "skip"> = {},
): Promise<string | undefined> {
  const [only] = conformanceCases(backend, { only: [name], ...options });
  try {
    await only.run();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
