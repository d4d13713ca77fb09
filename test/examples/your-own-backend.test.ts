// The backend that the docs lead to obeys the laws, and computes a mixture of experts as the CPU backend does.
import { DisposedError, add, tensor } from "qwen-blocks";
import { conformanceCases } from "qwen-blocks/testing";
import { afterAll, describe, expect, test } from "vitest";
import { compareWithCpu } from "../../examples/06-your-own-backend/against-cpu.js";
import { plain } from "../../examples/06-your-own-backend/backend.js";

const backend = plain();
afterAll(() => backend[Symbol.asyncDispose]());

describe("laws", () => {
  for (const c of conformanceCases(backend, { runs: 10, open: async () => plain() })) test(c.name, c.run);
});

test("forward and gradients of a mixture of experts", async () => {
  const { errors, native, composed } = await compareWithCpu(backend);
  expect([...errors.keys()]).toEqual(["output", "loss", "gate.weight", "experts.gateUpProj", "experts.downProj"]);
  // Forward and back a number passes through some 30 roundings; twice that for sums whose terms cancel.
  for (const [name, error] of errors) expect(error, name).toBeLessThanOrEqual(64 * 2 ** -24);
  expect(native).toEqual(expect.arrayContaining(["matmul", "topK", "scatterRows"]));
  expect(composed).toEqual(expect.arrayContaining(["route", "expertMlp", "expertLinearGrad"]));
  expect(native.filter((op) => composed.includes(op))).toEqual([]);
  expect(backend.memory.usage()).toEqual({ buffers: 0, bytes: 0, scratch: 0 });
});

test("a closed backend refuses everything but to free", async () => {
  const closed = plain();
  const x = tensor(closed, [1, 2]);
  await closed[Symbol.asyncDispose]();
  expect(() => tensor(closed, [1])).toThrow(DisposedError);
  expect(() => add(x, 1)).toThrow(DisposedError);
  await expect(x.data()).rejects.toThrow(DisposedError);
  x.dispose();
});
