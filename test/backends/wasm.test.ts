// The exported suite on the wasm backend, in each build that this engine runs, on one thread and on two.
import { conformanceCases } from "qwen-blocks/testing";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, inject, test } from "vitest";

for (const threads of [1, 2]) {
  const backend = await wasm({ threads });
  describe(`wasm, ${backend.info.build}, threads: ${threads}`, () => {
    for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed") })) test(name, run);
    afterAll(() => backend[Symbol.asyncDispose]());
  });
}
