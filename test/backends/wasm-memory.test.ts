// The wasm backend's memory: the limit throws and leaves everything usable, and addresses above 2 GiB work as those below.
import { OutOfMemoryError, Random, matmul, randn, tensor } from "qwen-blocks";
import { conformanceCases } from "qwen-blocks/testing";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, inject, test } from "vitest";

const MIB = 2 ** 20;

describe("linear memory", () => {
  test("past the limit alloc throws, and everything stays usable", async () => {
    await using backend = await wasm({ threads: 2 });
    const x = tensor(backend, [1, 2, 3], [3]);
    const { bytes } = backend.memory.usage();
    expect(() => backend.memory.alloc(2 ** 32)).toThrow(OutOfMemoryError);
    const most = backend.memory.alloc(2 ** 32 - 64 * MIB);
    expect(() => backend.memory.alloc(128 * MIB)).toThrow(/134217728 bytes must fit/);
    expect(Array.from(await x.data())).toEqual([1, 2, 3]);
    backend.memory.free(most);
    expect(backend.memory.usage().bytes).toBe(bytes);
    x.dispose();
  });

  test("grows while two threads work", async () => {
    await using backend = await wasm({ threads: 2 });
    const x = randn(backend, [256, 256], new Random(1));
    const first = matmul(x, x);
    const once = await first.data();
    for (let i = 1; i <= 8; i++) {
      const more = backend.memory.alloc(i * 40 * MIB);
      const again = matmul(x, x);
      expect(await again.data()).toEqual(once);
      again.dispose();
      if (i % 2 === 0) backend.memory.free(more);
    }
    first.dispose();
    x.dispose();
  });
});

// Both halves of the address space: pointers come back from WebAssembly as negative numbers from 2 GiB up.
for (const [where, below] of [
  ["above 2 GiB", 2 ** 31 + 16 * MIB],
  ["near 4 GiB", 2 ** 32 - 96 * MIB],
] as const) {
  const backend = await wasm({ threads: 2 });
  const filler = backend.memory.alloc(below);
  describe(`operands ${where}`, () => {
    for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), runs: 4 })) test(name, run);
    afterAll(async () => {
      backend.memory.free(filler);
      await backend[Symbol.asyncDispose]();
    });
  });
}
