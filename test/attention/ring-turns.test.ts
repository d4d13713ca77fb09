// A ring's text leaves its beginning behind, and so does the RoPE table: it holds the rows that the tokens of a call need, and moves on.
import {
  Attention, DecodeStep, disposeAll, Qwen3, randn, Random, randomWeights, RingCache, Rope, ropeFrequencies, ropeTable, scope, sequencePositions,
  slice, type Backend, type KVCache, type Positions, type RopeOptions, type Step, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { denseConfig, livelyWeights } from "../models/tiny.js";
import { expectNoLeak, expectWithin, numbers, u, usage } from "../tensor/numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

const stride = 4096;
const window = 3;
const from = (start: number, tokens: number): Positions => sequencePositions(1, tokens, { start: [start] });
const makeRing = (batch = 1): RingCache =>
  new RingCache(backend, { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4, maxLength: 1e9, window, batch });
const at = (...rows: (readonly number[])[]): Positions => {
  const position = Int32Array.from(rows.flat());
  return { shape: [rows.length, rows[0].length], position, segment: new Int32Array(position.length) };
};

describe("the rows of a ring's step", () => {
  const first = 5 * stride;
  test.each([
    { name: "count from the block of the first token", next: at([first + 1, first + 2]), firstRow: first, rows: [1, 2], length: 6 * stride },
    { name: "reach over the end of the block", next: at([first - 1, first]), firstRow: 4 * stride, rows: [stride - 1, stride], length: 6 * stride },
    { name: "count from the row that is furthest behind", next: at([first + 7], [9]), firstRow: 0, rows: [first + 7, 9], length: 6 * stride },
    { name: "are -1 for padding, which counts for nothing", next: at([first, -1]), firstRow: first, rows: [0, -1], length: 6 * stride },
    { name: "are -1 where all is padding", next: at([-1, -1]), firstRow: 0, rows: [-1, -1], length: stride },
    { name: "reach the greatest position", next: at([2 ** 31 - 2]), firstRow: 2 ** 31 - stride, rows: [stride - 2], length: 2 ** 31 },
  ])("$name", async ({ next, rows, firstRow, length }) => {
    using cache = makeRing(next.shape[0]);
    const step = cache.begin(next);
    expect(await numbers(step.rows)).toEqual(rows);
    expect(step).toMatchObject({ firstRow, length });
  }); // prettier-ignore

  test("count from the places in the text that a ropeDelta gives", async () => {
    using cache = makeRing();
    const moved = sequencePositions(1, 2, { start: [stride + 10], ropeDelta: [-8] });
    expect(await numbers(cache.begin(moved).rows)).toEqual([2, 3]);
    const apart = { ...moved, places: moved.places!.map((place, i) => place + (i === 0 ? 1 : 0)) };
    expect(await numbers(cache.begin({ ...apart, position: moved.position.map((p) => p + 2) }).rows)).toEqual([0, 1]);
  });

  test("let a recorded step serve as long as it stays in its block", () => {
    using cache = makeRing();
    const step = cache.begin(from(stride - 2, 1));
    expect(cache.begin(from(stride - 1, 1), step)).toBe(step);
    const next = cache.begin(from(stride, 1), step);
    expect(next).not.toBe(step);
    expect(cache.begin(from(2 * stride - 1, 1), next)).toBe(next);
    const last = cache.begin(from(2 * stride, 1), next);
    expect(last).not.toBe(next);
    cache.truncateTo(0); // back to where its rows do not reach
    expect(cache.begin(from(0, 1), last)).not.toBe(last);
  });
});

const rules: readonly RopeOptions[] = [
  { ropeType: "default", ropeTheta: 100, partialRotaryFactor: 0.5 },
  { ropeType: "dynamic", ropeTheta: 100, factor: 2, maxPositionEmbeddings: 4 },
];
test.each(rules)("Rope keeps the rows that a step needs beside those from 0: $ropeType", async (options) => {
  await expectNoLeak(backend, async () => {
    using rope = new Rope(backend, 8, options);
    const maxLength = 1e6;
    const start = rope.table(1, maxLength);
    const needs = { firstRow: 3 * stride, length: 4 * stride, maxLength };
    const table = rope.tableFor(needs);
    expect(await numbers(table)).toEqual([...ropeTable(ropeFrequencies(8, options, maxLength), 3 * stride, stride)]);
    expect(rope.tableFor({ ...needs, length: 3 * stride + 1 })).toBe(table);
    expect(rope.tableFor({ firstRow: 0, length: 5, maxLength })).toBe(start);
    const further = rope.tableFor({ ...needs, firstRow: 4 * stride, length: 5 * stride + 1 });
    expect(further.shape[0]).toBe(2 * stride);
    expect([table.disposed, start.disposed]).toEqual([true, false]);
  });
});

test.each(["at once", "in pieces", "token by token"])("a ring reads a text far on as without a cache: %s", async (how) => {
  const D = 4;
  const block = new Attention(randomWeights(backend, 1, { initializerRange: 0.5 }), {
    ...{ hiddenSize: D, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps: 1e-6 },
    ...{ rope: { ropeType: "default", ropeTheta: 10 }, slidingWindow: window },
  });
  const [start, T] = [2 * stride - 4, 9];
  const x = randn(backend, [1, T, D], new Random(3));
  const expected = await numbers(block.forward(x, { positions: from(start, T) }));
  using cache = makeRing();
  const size = { "at once": T, "in pieces": 4, "token by token": 1 }[how]!;
  const got: number[] = [];
  for (let t = 0; t < T; t += size) {
    const tokens = Math.min(size, T - t);
    const step = cache.begin(from(start + t, tokens));
    got.push(...(await numbers(block.forward(slice(x, [0, t, 0], [1, tokens, D]), { step, cache }))));
  }
  // The same rows turn the same tokens: only sums are in another order. Outputs are below 10, 64 roundings.
  expectWithin(got, expected, expected.map(() => 64 * u * 10)); // prettier-ignore
}); // prettier-ignore

test("a recorded step gives over the ends of blocks what an ordinary pass gives, and memory stays as it is", async () => {
  const config = denseConfig({ slidingWindow: window, maxPositionEmbeddings: 100_000 });
  await expectNoLeak(backend, async () => {
    const model = new Qwen3(livelyWeights(backend, 1), config);
    using cache: KVCache = model.makeCache({ kind: "ring" });
    using twin: KVCache = model.makeCache({ kind: "ring" });
    const begin = vi.spyOn(cache, "begin");
    const held: (readonly number[])[] = [];
    using step = new DecodeStep(model, cache, (logits: Tensor) => logits);
    for (const block of [2, 3, 9]) {
      for (let i = -3; i < 3; i++) {
        const where = from(block * stride + i, 1);
        const ids = [Math.abs(i)];
        const logits = await numbers(step.run(ids, where));
        const plain = scope(() => model.forward([ids], { cache: twin, positions: where }));
        expect(logits).toEqual(await numbers(plain));
        plain.dispose();
      }
      held.push(usage(backend));
    }
    for (const each of held) expect(each).toEqual(held[0]);
    // A block that was just begun serves until its end.
    const steps = new Set(begin.mock.results.map(({ value }) => value as Step));
    expect(steps.size).toBe(5);
    disposeAll(model);
  });
});
