// The gpujs backend in Node, where gpu.js computes in JavaScript: all of it but WebGL2 itself.
import { cpu } from "qwen-blocks/cpu";
import { gpujs } from "qwen-blocks/gpujs";
import { conformanceCases, oracle } from "qwen-blocks/testing";
import { afterAll, describe, expect, inject, test } from "vitest";
import { expectWithinBounds, Tally } from "../laws/expect-same.js";
import { expectNoLeak } from "../tensor/numbers.js";
import { losses, pass } from "./gpujs-training.js";

/** Not a literal: types are checked where the package is not installed. */
const packageName = "gpu.js";
const options = (await import(packageName)) as { readonly GPU: object };
const open = () => gpujs(options);

const backend = await open();
afterAll(() => backend[Symbol.asyncDispose]());

test("says that JavaScript computes", () => {
  expect(backend.info).toMatchObject({ mode: "cpu", adapter: "JavaScript" });
});

describe("suite", () => {
  for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), runs: 3, open })) test(name, run);

  test("what was drawn reached gpu.js", () => {
    expect(backend.counters().runs).toBeGreaterThan(500);
  });
});

test("a mixture has the logits, the loss and the gradients that the oracle allows", async () => {
  const judge = oracle("wgsl");
  const expected = await pass(judge, (y) => judge.inspect(y));
  const found = await pass(backend, async (y) => [...(await y.data())]);
  const tally = new Tally();
  for (const [name, numbers] of Object.entries(found)) expectWithinBounds(name, numbers, expected[name], tally);
  tally.expectMost();
});

test("a mixture learns as on the CPU, without a leak", async () => {
  await using reference = await cpu();
  const wanted = await losses(reference, 5);
  await expectNoLeak(backend, async () => {
    const found = await losses(backend, 5);
    found.forEach((loss, i) => expect(Math.abs(loss - wanted[i]), `step ${i}`).toBeLessThan(1e-3));
  });
});
