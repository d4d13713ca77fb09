// What a wrong call of an op says: the op, the rule, what was found. All thrown before anything is enqueued.
import { afterAll, expect, test } from "vitest";
import { cpu } from "../../src/backends/cpu/index.js";
import type { Shape } from "../../src/core/shape.js";
import { zeros } from "../../src/ops/fill.js";
import { scope } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";

export const backend = await cpu();
afterAll(() => backend[Symbol.asyncDispose]());

export const f = (...shape: Shape): Tensor => zeros(backend, shape);
export const i = (...shape: Shape): Tensor => zeros(backend, shape, "i32");

export function messageOf(call: () => unknown): string {
  try {
    scope(() => void call());
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing thrown";
}

/** A test per call: the message, and that nothing stays in memory. */
export function refuses(wrong: Readonly<Record<string, readonly [call: () => unknown, message: string]>>): void {
  test.each(Object.entries(wrong))("%s", (_, [call, message]) => {
    const before = backend.memory.usage();
    expect(messageOf(call)).toBe(message);
    expect(backend.memory.usage()).toEqual(before);
  });
}
