// The wasm backend's memory: no two blocks overlap, nothing fragments, the limit throws and leaves everything usable, and addresses above
// 2 GiB work as those below.
import fc from "fast-check";
import { OutOfMemoryError, Random, matmul, randn, tensor } from "qwen-blocks";
import { conformanceCases } from "qwen-blocks/testing";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, inject, test } from "vitest";
import { Heap } from "../../src/backends/wasm/heap.js";

const MIB = 2 ** 20;

interface Block {
  readonly address: number;
  readonly size: number;
}

function overlapping(blocks: readonly Block[]): boolean {
  const sorted = [...blocks].sort((a, b) => a.address - b.address);
  return sorted.some(({ address }, i) => i > 0 && sorted[i - 1].address + sorted[i - 1].size > address);
}

describe("heap", () => {
  test("blocks are aligned, lie inside, and never overlap, in any order of allocating and freeing", () => {
    const step = fc.record({
      size: fc.oneof(fc.nat(300), fc.nat(20_000), fc.nat(3 * MIB)),
      free: fc.nat(2),
      which: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        let reached = 0;
        const heap = new Heap(1000, (end) => (reached = Math.max(reached, end)) <= 64 * MIB);
        const live: Block[] = [];
        for (const { size, free, which } of steps) {
          if (free === 0 && live.length > 0) {
            heap.free(live.splice(which % live.length, 1)[0].address);
            continue;
          }
          const address = heap.alloc(size);
          if (address === undefined) continue;
          expect(address % 64).toBe(0);
          expect(address).toBeGreaterThanOrEqual(1000);
          expect(address + size).toBeLessThanOrEqual(heap.end);
          live.push({ address, size });
        }
        expect(overlapping(live)).toBe(false);
      }),
    );
  });

  test("what is freed can be had again in one piece", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200_000), { minLength: 1, maxLength: 60 }), fc.nat(), (sizes, seed) => {
        const heap = new Heap(0, (end) => end <= 64 * MIB);
        const addresses = sizes.map((size) => heap.alloc(size)!);
        for (let i = 0; addresses.length > 0; i++) heap.free(addresses.splice((seed + i * 7) % addresses.length, 1)[0]);
        const { end } = heap;
        // One slab of each small size may stay; all else is gaps, the largest of them as large as what was large.
        const large = sizes.filter((size) => size > 8192);
        if (large.length > 0) expect(heap.alloc(Math.max(...large))).toBeLessThan(end);
        expect(heap.end).toBe(end);
      }),
    );
  });

  test("100,000 repetitions of one step's allocations reach no higher, and leave the same largest gap", () => {
    const heap = new Heap(65536, () => true);
    const sizes = [4096, 100, 64, 300_000, 96, 12_000, 8192, 1_000_000, 2048, 640, 77_777, 512];
    const kept = [5_000_000, 3000, 400_000].map((size) => heap.alloc(size)!);
    const step = (): void => {
      const held: number[] = [];
      for (const [i, size] of sizes.entries()) {
        held.push(heap.alloc(size)!);
        if (i % 3 === 2) heap.free(held.splice(i % held.length, 1)[0]);
      }
      for (const address of held.reverse()) heap.free(address);
    };
    for (let i = 0; i < 3; i++) step();
    const { end, largestGap } = heap;
    for (let i = 0; i < 100_000; i++) step();
    expect(heap.end).toBe(end);
    expect(heap.largestGap).toBe(largestGap);
    for (const address of kept) heap.free(address);
  });

  test("a block that cannot be had changes nothing", () => {
    const heap = new Heap(0, (end) => end <= MIB);
    const first = heap.alloc(MIB / 2)!;
    expect(heap.alloc(MIB)).toBeUndefined();
    expect(heap.end).toBe(MIB / 2);
    heap.free(first);
    expect(heap.alloc(MIB)).toBe(0);
  });
});

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
