// A recorded step as a program of the wasm backend: the bits of the kernels' own calls on any number of threads, whatever happens to the
// memory in between, and nothing left behind.
import {
  add, appendKV, attention, BackendError, DisposedError, expertMlp, fill, linear, matmul, mul, record, reshape, rmsNorm, scope, softmax, topK,
  zeros, type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { wasm } from "qwen-blocks/wasm";
import { describe, expect, test } from "vitest";
import { bits, expectNoLeak, ints, normal, normals, numbers, usage } from "../tensor/numbers.js";

const width = 160;
const tokens = 3;
const slots = 8;

/** Commands of one tile and of many, with scratch memory and without; one reads what earlier runs left in a pool. */
function stepOn(b: Backend) {
  const x = normal(b, 1, [tokens, width]);
  const [wide, back, head] = [normal(b, 2, [5000, width]), normal(b, 3, [width, 5000]), normal(b, 4, [32, width])];
  const norm = normal(b, 5, [width]);
  const [gateUp, down] = [normal(b, 6, [4, 2 * 96, width], 0.1), normal(b, 7, [4, width, 96], 0.1)];
  const experts = ints(b, [0, 1, 3, 1, 2, -1], [tokens, 2]);
  const pools = [zeros(b, [slots, 2, 16]), zeros(b, [slots, 2, 16])];
  const into = ints(b, [0, 1, 2], [1, tokens]);
  const queries = ints(b, new Array<number>(4 * tokens).fill(0), [1, tokens, 4]);
  const rows = Array.from({ length: slots }, (_, i) => [i, 0, i]);
  const keys = ints(b, rows.flat(), [1, slots, 3]);
  return {
    compute(): readonly Tensor[] {
      const logits = linear(rmsNorm(x, norm, 1e-6), wide);
      const y = matmul(softmax(logits), back, { transposeB: true });
      const q = reshape(linear(y, head), [1, tokens, 2, 16]);
      appendKV(q, mul(q, 2), into, pools[0], pools[1]);
      const attrs = { scale: 0.25, causal: true, window: 0, sinks: 0, softcap: 0 };
      const seen = attention(q, pools[0], pools[1], queries, keys, attrs);
      const mixed = expertMlp(y, gateUp, down, experts, softmax(fill(b, [tokens, 2], 0, { step: 0.5 })));
      const best = topK(logits, 7);
      return [add(y, mixed), seen, best.values, best.indices];
    },
    write(seed: number): void {
      x.write(Float32Array.from(normals(seed, tokens * width)));
      into.write(Int32Array.from({ length: tokens }, (_, t) => (seed + 3 * t) % slots));
      queries.write(Int32Array.from({ length: 4 * tokens }, (_, i) => [seed % slots, 0, 0, slots][i % 4]));
    },
  };
}

async function bitsOf(all: readonly Tensor[]): Promise<Uint32Array[]> {
  return Promise.all(all.map(bits));
}

/** What the step gives, run by run, computed by eager calls on one thread. */
async function eagerly(runs: number): Promise<Uint32Array[][]> {
  await using b = await wasm({ threads: 1 });
  const step = stepOn(b);
  const all: Uint32Array[][] = [];
  for (let i = 0; i < runs; i++) {
    step.write(i);
    const results = scope(() => step.compute());
    all.push(await bitsOf(results));
    for (const result of results) result.dispose();
  }
  return all;
}

describe("a program gives the bits of the kernels' calls", () => {
  test("over many runs on one, two and three threads", async () => {
    const expected = await eagerly(150);
    for (const threads of [1, 2, 3]) {
      await using b = await wasm({ threads });
      const step = stepOn(b);
      step.write(0);
      using recording = record(b, () => step.compute());
      for (let i = 0; i < expected.length; i++) {
        step.write(i);
        if (i > 0) recording.run();
        expect(await bitsOf(recording.result), `run ${i} on ${threads} threads`).toEqual(expected[i]);
      }
    }
  });

  test("while eager calls, larger scratch memory, growth and another recording come between its runs", async () => {
    const expected = await eagerly(12);
    await using b = await wasm({ threads: 2 });
    const [one, other] = [stepOn(b), stepOn(b)];
    one.write(0);
    using first = record(b, () => one.compute());
    other.write(0);
    using second = record(b, () => other.compute());
    const [products, others]: [Tensor[], Tensor[]] = [[], []];
    for (let i = 0; i < expected.length; i++) {
      one.write(i);
      if (i > 0) first.run();
      const size = 256 + 128 * i; // each product needs more scratch memory than any call before: the former goes to others
      products.push(scope(() => matmul(fill(b, [size, size], 1), fill(b, [size, size], i))));
      for (let n = 0; n < 8; n++) others.push(fill(b, [4096], 7));
      expect(await bitsOf(first.result)).toEqual(expected[i]);
      other.write(i);
      if (i > 0) second.run();
      expect(await bitsOf(second.result)).toEqual(expected[i]);
    }
    for (const tensor of others) expect(new Set(await numbers(tensor))).toEqual(new Set([7]));
    for (const [i, product] of products.entries())
      expect(new Set(await numbers(product))).toEqual(new Set([i * (256 + 128 * i)]));
  });

  test("of thousands of commands too", async () => {
    await using b = await wasm({ threads: 2 });
    const x = fill(b, [4], 1);
    using recording = record(b, () => {
      let y = x;
      for (let i = 0; i < 5000; i++) y = add(y, x);
      return y;
    });
    x.write(new Float32Array(4).fill(2));
    recording.run();
    expect(await numbers(recording.result)).toEqual(new Array(4).fill(10002));
  });
});

describe("its memory", () => {
  test("is one buffer more, and all of it is free after dispose", async () => {
    await using b = await wasm({ threads: 2 });
    const step = stepOn(b);
    await expectNoLeak(b, () => {
      const recording = record(b, () => step.compute());
      const made = new Set(recording.commands.flatMap(({ outputs }) => outputs)).size;
      expect(made).toBeGreaterThan(10);
      recording.run();
      recording.dispose();
      expect(() => recording.run()).toThrow(DisposedError);
    });
    const x = fill(b, [4], 1);
    const before = usage(b)[0];
    using recording = record(b, () => add(x, x));
    expect(usage(b)[0]).toBe(before + 2);
    expect(recording.commands).toHaveLength(1);
  });

  test("includes what the step reads: freeing that waits for dispose", async () => {
    await using b = await wasm({ threads: 1 });
    await expectNoLeak(b, async () => {
      const [x, y] = [fill(b, [4], 1), fill(b, [4], 10)];
      const recording = record(b, () => add(x, y));
      y.dispose();
      const others = [1, 2, 3].map((value) => fill(b, [4], value)); // would take its place
      x.write(new Float32Array(4).fill(5));
      recording.run();
      expect(await numbers(recording.result)).toEqual([15, 15, 15, 15]);
      recording.dispose();
      for (const tensor of [x, ...others]) tensor.dispose();
    });
  });

  test("of a closed backend is gone", async () => {
    const b = await wasm({ threads: 2 });
    const x = fill(b, [4], 1);
    const recording = record(b, () => add(x, x));
    await b[Symbol.asyncDispose]();
    expect(() => recording.run()).toThrow(DisposedError);
    recording.dispose();
  });
});

describe("what cannot be compiled", () => {
  test("is an error that names the op, and leaves nothing", async () => {
    await using b = await wasm({ threads: 1 });
    const step = stepOn(b);
    await expectNoLeak(b, () => {
      const foreign = { op: "repack", inputs: [], outputs: [], attrs: {} } as const;
      expect(() => b.compile?.([foreign])).toThrow(BackendError);
      expect(() => b.compile?.([foreign])).toThrow(/repack/);
      const failing: Backend = {
        ...b,
        compile: (commands) => (b.compile as NonNullable<Backend["compile"]>)([...commands, foreign]),
      };
      expect(() => record(failing, () => step.compute())).toThrow(/repack/);
    });
  });

  test("an empty recording runs", async () => {
    await using b = await wasm({ threads: 2 });
    using recording = record(b, () => "nothing");
    recording.run();
    expect(recording.result).toBe("nothing");
  });
});
