// The exported suite on the gpujs backend in Node, where gpu.js computes in JavaScript: all of it but WebGL2 itself.
import { conformanceCases } from "qwen-blocks/testing";
import { gpujs } from "qwen-blocks/gpujs";
import { afterAll, expect, inject, test } from "vitest";
import { gpuJsOptions } from "./gpujs.js";

const options = await gpuJsOptions();
const open = () => gpujs(options);
const backend = await open();
afterAll(() => backend[Symbol.asyncDispose]());

test("says that JavaScript computes", () => {
  expect(backend.info).toMatchObject({ mode: "cpu", adapter: "JavaScript" });
});

for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), runs: 10, open })) test(name, run);

test("what was drawn reached gpu.js", () => {
  expect(backend.counters().runs).toBeGreaterThan(500);
});
