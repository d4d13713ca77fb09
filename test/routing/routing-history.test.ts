// Statistics over time come out as they went in, in columns.
import { RoutingHistory, routingStatistics, TopKRouter, type Backend, type Routing } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, expect, test } from "vitest";
import { expectNoLeak, mask, normal } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

test("a record per layer and step, a series per layer and number", async () => {
  const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
  const routingOf = (seed: number): Routing => router.route(normal(backend, seed, [1, 4, 5]));
  const rowMask = mask(backend, [1, 1, 0, 1], [1, 4]);
  const [a, b, c] = [routingOf(1), routingOf(2), routingOf(3)];
  const history = new RoutingHistory();
  await expectNoLeak(backend, async () => {
    await history.add(0, new Map([[3, b], [1, a]]), rowMask); // prettier-ignore
    await history.add(10, new Map([[1, c]]), rowMask);
  });
  const [ofA, ofC] = [await routingStatistics(a, rowMask), await routingStatistics(c, rowMask)];
  expect(history.records.map(({ step, layer }) => [step, layer])).toEqual([[0, 1], [0, 3], [10, 1]]); // prettier-ignore
  expect(history.records[0]).toEqual({ step: 0, layer: 1, ...ofA });
  expect(history.series(1, "entropy")).toEqual({ steps: [0, 10], values: [ofA.entropy, ofC.entropy] });
  expect(history.series(3, "activated")).toEqual({ steps: [0], values: [2 / 5] });
  expect(history.series(2, "activated")).toEqual({ steps: [], values: [] });
  await history.add(11, new Map());
  expect(history.records).toHaveLength(3);
});
