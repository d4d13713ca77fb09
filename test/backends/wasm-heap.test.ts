// The wasm backend's heap: no two blocks overlap, what is freed joins its neighbours, and a step of decoding that repeats leaves no trace.
import fc from "fast-check";
import { Qwen3, logSumExp, mul, presets, randomWeights, scope, topK } from "qwen-blocks";
import { wasm } from "qwen-blocks/wasm";
import { describe, expect, test, vi } from "vitest";
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

test("large blocks that are freed, in any order, are one gap again", () => {
  const size = fc.integer({ min: 8193, max: 200_000 });
  fc.assert(
    fc.property(fc.array(size, { minLength: 1, maxLength: 60 }), fc.nat(), (sizes, seed) => {
      const heap = new Heap(0, (end) => end <= 64 * MIB);
      const addresses = sizes.map((size) => heap.alloc(size)!);
      for (let i = 0; addresses.length > 0; i++) heap.free(addresses.splice((seed + i * 7) % addresses.length, 1)[0]);
      expect(heap.largestGap).toBe(heap.end);
    }),
  );
});

test("a block that cannot be had changes nothing", () => {
  const heap = new Heap(0, (end) => end <= MIB);
  const first = heap.alloc(MIB / 2)!;
  expect(heap.alloc(MIB)).toBeUndefined();
  expect(heap.end).toBe(MIB / 2);
  heap.free(first);
  expect(heap.alloc(MIB)).toBe(0);
});

/** What a heap was asked for: a block of so many bytes, which is called by its place among all requests, or that block back. */
type Request = { readonly bytes: number } | { readonly free: number };

interface Recording {
  readonly requests: readonly Request[];
  /** How many there were when the second text began, before and after its last token, and when its cache was gone. */
  readonly at: { readonly text: number; readonly before: number; readonly step: number; readonly end: number };
}

/**
 * A random model samples two texts, while the cache of each doubles twice. What the model and the backend keep for good, tables and scratch
 * memory, is there when the second begins.
 */
async function recordDecoding(): Promise<Recording> {
  const requests: Request[] = [];
  const places = new Map<number, number>();
  const { alloc, free } = Heap.prototype;
  vi.spyOn(Heap.prototype, "alloc").mockImplementation(function (this: Heap, bytes) {
    const address = alloc.call(this, bytes);
    places.set(address!, requests.push({ bytes }) - 1);
    return address;
  });
  vi.spyOn(Heap.prototype, "free").mockImplementation(function (this: Heap, address) {
    requests.push({ free: places.get(address)! });
    free.call(this, address);
  });
  try {
    await using backend = await wasm({ threads: 1 });
    // With these sizes the logits and the grown cache are large blocks, and all else of a step small ones.
    const config = { ...presets.toy, vocabSize: 5003, headDim: 64 };
    const model = new Qwen3(randomWeights(backend, 1, config), config);
    const sample = async (): Promise<Recording["at"]> => {
      const text = requests.length;
      const cache = model.makeCache({ maxLength: 256, capacity: 32 });
      const tokens: number[] = [];
      // Op by op: a recorded step takes no memory at all.
      const read = async (token: number): Promise<void> => {
        using logits = model.forward([[token]], { cache, logits: "last" });
        const best = scope(() => ({ ...topK(logits, 256), normalizer: logSumExp(mul(logits, 1.25)) }));
        for (const each of Object.values(best)) {
          await each.data();
          each.dispose();
        }
      };
      for (let token = 0; token < 77; token++) {
        await read(token);
        tokens.push(requests.length);
      }
      cache.dispose();
      return { text, before: tokens.at(-2)!, step: tokens.at(-1)!, end: requests.length };
    };
    await sample();
    return { at: await sample(), requests };
  } finally {
    vi.restoreAllMocks();
  }
}

/** Makes recorded requests of a heap again, as often as one likes. */
class Replay {
  readonly #heap: Heap;
  readonly #requests: readonly Request[];
  readonly #addresses: number[] = [];

  constructor(heap: Heap, requests: readonly Request[]) {
    this.#heap = heap;
    this.#requests = requests;
  }

  run(from: number, to: number): void {
    for (let place = from; place < to; place++) {
      const request = this.#requests[place];
      if ("bytes" in request) this.#addresses[place] = this.#heap.alloc(request.bytes)!;
      else this.#heap.free(this.#addresses[request.free]);
    }
  }
}

describe("a recorded generation", async () => {
  const { requests, at } = await recordDecoding();
  const start = 65536;

  test("has large and small blocks in a step, and frees in it what it takes", () => {
    const step = requests.slice(at.before, at.step);
    const taken = step.flatMap((request, i) => ("bytes" in request ? [at.before + i] : []));
    const freed = step.flatMap((request) => ("free" in request ? [request.free] : []));
    expect(freed.sort((a, b) => a - b)).toEqual(taken);
    const sizes = step.flatMap((request) => ("bytes" in request ? [request.bytes] : []));
    expect(sizes.filter((bytes) => bytes > 8192).length).toBeGreaterThan(2);
    expect(sizes.filter((bytes) => bytes <= 8192).length).toBeGreaterThan(30);
  });

  test("100,000 repetitions of one decode step reach no higher, and leave the same largest gap", () => {
    const heap = new Heap(start, () => true);
    const replay = new Replay(heap, requests);
    // The lowest and largest gap, so that the step takes from it: a heap that does not join it again has a smaller one afterwards.
    const lowest = heap.alloc(4 * MIB)!;
    replay.run(0, at.before);
    heap.free(lowest);
    const { end, largestGap } = heap;
    expect(largestGap).toBeGreaterThanOrEqual(4 * MIB);
    for (let i = 0; i < 100_000; i++) replay.run(at.before, at.step);
    expect({ end: heap.end, largestGap: heap.largestGap }).toEqual({ end, largestGap });
  });

  test("1000 repetitions of a text, its cache made, doubled and freed each time, reach no higher either", () => {
    const heap = new Heap(start, () => true);
    const replay = new Replay(heap, requests);
    replay.run(0, at.end);
    const { end, largestGap } = heap;
    for (let i = 0; i < 1000; i++) replay.run(at.text, at.end);
    expect({ end: heap.end, largestGap: heap.largestGap }).toEqual({ end, largestGap });
  });
});
