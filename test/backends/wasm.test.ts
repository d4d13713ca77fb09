// The exported suite on the wasm backend: plain SIMD on one thread, and the best build that this engine runs on two.
import { conformanceCases } from "qwen-blocks/testing";
import { wasm, type WasmOptions } from "qwen-blocks/wasm";
import { afterAll, describe, inject, test } from "vitest";

const settings: readonly WasmOptions[] = [{ build: "simd128", threads: 1 }, { threads: 2 }];

for (const options of settings) {
  const backend = await wasm(options);
  describe(`wasm, ${backend.info.build}, threads: ${backend.info.threads}`, () => {
    const open = () => wasm(options);
    for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), open })) test(name, run);
    afterAll(() => backend[Symbol.asyncDispose]());
  });
}
