// Statistics against counts by hand.
import { routingStatistics, ShapeError, tensor, TopKRouter, type Backend, type Routing } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, ints, mask, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const [ln2, ln3] = [Math.log(2), Math.log(3)];
/** Probabilities 1/2 1/4 1/4 0, then 1/4 each, then 1/6 1/6 1/2 1/6. */
const rows = [ln2, 0, 0, -200, 0, 0, 0, 0, 0, 0, ln3, 0];
const routing = (k: number): Routing =>
  new TopKRouter({ numExpertsPerTok: k, normTopkProb: true }).route(tensor(backend, rows, [1, 3, 4]));

describe("routingStatistics", () => {
  test("load, importance, entropy, idle experts", async () => {
    const found = await routingStatistics(routing(2));
    // Slots: 0 1, 0 1, 2 0.
    expectWithin([...found.load], [3 / 6, 2 / 6, 1 / 6, 0], [u, u, u, 0]);
    const importance = [1 / 2 + 1 / 4 + 1 / 6, 2 / 4 + 1 / 6, 2 / 4 + 1 / 2, 1 / 4 + 1 / 6].map((p) => p / 3);
    expectWithin([...found.importance], importance, importance.map((p) => 6 * u * p)); // prettier-ignore
    expect(found.maxOverMean).toBeCloseTo(2, 6);
    const entropies = [1.5 * ln2, 2 * ln2, 0.5 * ln2 + 0.5 * (ln2 + ln3)];
    const mean = entropies.reduce((a, b) => a + b) / 3;
    // log Z less the mean logit: differences of numbers up to 2, ten roundings.
    expectWithin([found.entropy], [mean], [20 * u]);
    expect([found.idleExperts, found.rows]).toEqual([1, 3]);
  });

  test("masked rows do not count", async () => {
    const found = await routingStatistics(routing(1), mask(backend, [0, 0, 1], [1, 3]));
    expect([...found.load]).toEqual([0, 0, 1, 0]);
    expectWithin([...found.importance], [1 / 6, 1 / 6, 1 / 2, 1 / 6], [u, u, u, u].map((x) => 2 * x)); // prettier-ignore
    expect([found.rows, found.idleExperts, found.maxOverMean]).toEqual([1, 3, 4]);
    expectWithin([found.entropy], [ln2 + 0.5 * ln3], [20 * u]);
  });

  test("balance: 1; a router without an opinion has entropy log E", async () => {
    const logits = tensor(backend, Array<number>(16).fill(0), [2, 2, 4]);
    const experts = ints(backend, [0, 1, 2, 3, 1, 0, 3, 2], [2, 2, 2]);
    const found = await routingStatistics({ logits, weights: logits, experts, dropped: undefined });
    expect([found.maxOverMean, found.idleExperts, found.rows]).toEqual([1, 0, 4]);
    expectWithin([found.entropy], [Math.log(4)], [4 * u]);
  });

  test("share of experts activated, share dropped, and what was wanted", async () => {
    const logits = tensor(backend, Array<number>(16).fill(0), [2, 2, 4]);
    // 6 slots kept: 3 2 1 0; 2 dropped, both of expert 0.
    const experts = ints(backend, [0, 1, 0, -1, 1, 0, -1, 2], [2, 2, 2]);
    const dropped = ints(backend, [2, 0, 0, 0]);
    const found = await routingStatistics({ logits, weights: logits, experts, dropped });
    expect([found.activated, found.droppedShare, found.maxOverMean, found.peakDemand]).toEqual([6 / 16, 2 / 8, 2, 2.5]);
    const nothing = await routingStatistics({ logits, weights: logits, experts: ints(backend, Array<number>(8).fill(-1), [2, 2, 2]), dropped: undefined }); // prettier-ignore
    expect([nothing.activated, nothing.droppedShare, nothing.maxOverMean, nothing.peakDemand]).toEqual([0, 0, 0, 0]);
    expect([...nothing.load]).toEqual([0, 0, 0, 0]);
  });

  test("frees what it read, and refuses a mask of another shape", async () => {
    const drawn = routing(2);
    await expectNoLeak(backend, () => routingStatistics(drawn));
    const wrong = mask(backend, [1, 1], [1, 2]);
    const before = backend.memory.usage().buffers;
    await expect(routingStatistics(drawn, wrong)).rejects.toThrow(ShapeError);
    expect(backend.memory.usage().buffers).toBe(before);
  });
});
