// The exported suite on the webgpu backend in Node: with all optional features, and with none of them, as most of WebGPU has it. There the
// kernels are those of real GPUs, while an emulated adapter may have some of its own.
import { conformanceCases } from "qwen-blocks/testing";
import type { WebGpuOptions } from "qwen-blocks/webgpu";
import { afterAll, describe, expect, inject, test } from "vitest";
import { asHardware, openInNode } from "./dawn.js";

const settings: readonly (WebGpuOptions & { readonly name: string })[] = [
  { name: "all features" },
  { name: "no optional feature", features: [], gpu: await asHardware() },
];

for (const { name, ...options } of settings) {
  const backend = await openInNode(options);
  describe(name, () => {
    const open = () => openInNode(options);
    const runs = 4;
    for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), runs, open })) test(name, run);

    test("what was drawn reached the device", () => {
      expect(backend.counters().dispatches).toBeGreaterThan(3_000);
    });
    afterAll(() => backend[Symbol.asyncDispose]());
  });
}
