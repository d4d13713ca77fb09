// Qwen3's router against the formula: p = softmax over all experts in full precision, the k best of it, divided by their sum or not.
import {
  add, cast, ConfigError, DTypeError, GradientError, groupByExpert, mul, reshape, ShapeError, sum, tensor, TopKRouter, valueAndGrad, zeros, type Backend,
  type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, mask, normal, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

/** The formula, for one row, in f64. */
function byHand(row: readonly number[], k: number, normalise: boolean): { experts: number[]; weights: number[] } {
  const total = row.reduce((sum, z) => sum + Math.exp(z), 0);
  const p = row.map((z) => Math.exp(z) / total);
  const experts = [...row.keys()].sort((i, j) => row[j] - row[i] || i - j).slice(0, k);
  const chosen = experts.reduce((sum, e) => sum + p[e], 0);
  return { experts, weights: experts.map((e) => (normalise ? p[e] / chosen : p[e])) };
}

const drawn = fc
  .record({
    rows: fc.integer({ min: 1, max: 4 }),
    E: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
    ties: fc.boolean(),
  })
  .chain((shape) =>
    fc.record({ shape: fc.constant(shape), k: fc.integer({ min: 1, max: shape.E }), norm: fc.boolean() }),
  );

describe("TopKRouter", () => {
  test("is the formula for any k, with and without normalising", async () => {
    await fc.assert(
      fc.asyncProperty(drawn, async ({ shape: { rows, E, seed, ties }, k, norm }) => {
        const logits = normals(seed, rows * E, 2).map((z) => (ties ? Math.round(z) : z));
        const router = new TopKRouter({ numExpertsPerTok: k, normTopkProb: norm });
        const routing = router.route(tensor(backend, logits, [1, rows, E]));
        expect([routing.weights.shape, routing.experts.shape]).toEqual([[1, rows, k], [1, rows, k]]); // prettier-ignore
        const expected = Array.from({ length: rows }, (_, r) => byHand(logits.slice(r * E, (r + 1) * E), k, norm));
        expect(await numbers(routing.experts)).toEqual(expected.flatMap(({ experts }) => experts));
        // Softmax may round p once (u p), its sum and the quotient again: 4 roundings at most, of numbers up to 1.
        const weights = expected.flatMap(({ weights }) => weights);
        expectWithin(await numbers(routing.weights), weights, weights.map((w) => 4 * u * w)); // prettier-ignore
      }),
    );
  });

  test("weights sum to 1 if and only if they are normalised", async () => {
    const logits = normal(backend, 1, [1, 5, 6]);
    for (const normTopkProb of [true, false]) {
      const { weights } = new TopKRouter({ numExpertsPerTok: 2, normTopkProb }).route(logits);
      const w = await numbers(weights);
      for (let r = 0; r < 5; r++) {
        const total = w[2 * r] + w[2 * r + 1];
        if (normTopkProb) expect(Math.abs(total - 1)).toBeLessThanOrEqual(2 * u);
        else expect(total).toBeLessThan(0.99);
        expect(w[2 * r]).toBeGreaterThanOrEqual(w[2 * r + 1]);
      }
    }
  });

  test("softmax comes before the choice: over the chosen alone, weights would sum to 1", async () => {
    // p = 1/2, 1/4, 1/4 of logits ln 2, 0, 0.
    const logits = tensor(backend, [0, Math.log(2), 0], [1, 1, 3]);
    const { weights, experts } = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: false }).route(logits);
    expect(await numbers(experts)).toEqual([1, 0]);
    expectWithin(await numbers(weights), [0.5, 0.25], [4 * u, 4 * u]);
  });

  test("weights are probabilities, never raw logits", async () => {
    const logits = tensor(backend, [30, 20, -5, 1], [1, 1, 4]);
    const { weights } = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: false }).route(logits);
    // 1 less 1/(1 + e^-10 + ...), and e^-10 of it.
    const rest = Math.exp(-10) + Math.exp(-35) + Math.exp(-29);
    expectWithin(await numbers(weights), [1 / (1 + rest), Math.exp(-10) / (1 + rest)], [4 * u, 4 * u]);
  });

  test("ties go to the lower index, also where softmax saturates", async () => {
    const router = new TopKRouter({ numExpertsPerTok: 3, normTopkProb: true });
    const { experts } = router.route(
      tensor(backend, [1, 2, 1, 2, 1, 0, 0, 0, 0, 0, 300, -500, 200, -400, -500], [3, 1, 5]),
    );
    expect(await numbers(experts)).toEqual([1, 3, 0, 0, 1, 2, 0, 2, 3]);
  });

  test("k = E takes every expert with its probability", async () => {
    const routing = new TopKRouter({ numExpertsPerTok: 4, normTopkProb: false }).route(normal(backend, 3, [2, 1, 4]));
    const [weights, experts] = [await numbers(routing.weights), await numbers(routing.experts)];
    for (const r of [0, 1]) {
      expect(experts.slice(4 * r, 4 * r + 4).sort()).toEqual([0, 1, 2, 3]);
      // Four probabilities, each rounded once: off by at most 4 u in sum.
      expect(Math.abs(weights.slice(4 * r, 4 * r + 4).reduce((a, b) => a + b) - 1)).toBeLessThanOrEqual(4 * u);
    }
  });

  test("the choice has no gradient, the weights have: a loss may count experts", async () => {
    const logits = normal(backend, 5, [1, 4, 3]);
    const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
    const squares = ({ weights }: Routing): Tensor => sum(mul(weights, weights), [0, 1, 2]);
    const counts = ({ experts }: Routing): Tensor =>
      sum(cast(groupByExpert(reshape(experts, [1, 8]), 3).counts, "f32"), [0, 1]);
    const gradient = async (lossOf: (routing: Routing) => Tensor): Promise<number[]> => {
      const { grads } = valueAndGrad(new Map([["logits", logits]]), () => reshape(lossOf(router.route(logits)), []));
      return numbers(grads.get("logits") as Tensor);
    };
    const expected = await gradient(squares);
    expect(expected.some((g) => g !== 0)).toBe(true);
    expect(await gradient((routing) => add(squares(routing), counts(routing)))).toEqual(expected);
    await expect(gradient(counts)).rejects.toThrow(GradientError);
  });

  test("masked rows get no expert and weight 0, the others keep every bit", async () => {
    const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
    const logits = normal(backend, 4, [2, 2, 5]);
    const [free, masked] = [router.route(logits), router.route(logits, mask(backend, [1, 0, 7, 1], [2, 2]))];
    const keep = (all: number[], none: number): number[] => [...all.slice(0, 2), none, none, ...all.slice(4)];
    expect(await numbers(masked.experts)).toEqual(keep(await numbers(free.experts), -1));
    expect(await numbers(masked.weights)).toEqual(keep(await numbers(free.weights), 0));
    expect(masked.logits).toBe(logits);
    expect(masked.dropped).toBeUndefined();
    expect(router.rowWise).toBe(true);
  });

  const bad: Record<string, unknown> = {
    "no normTopkProb": { numExpertsPerTok: 2 },
    "normTopkProb as a number": { numExpertsPerTok: 2, normTopkProb: 1 },
    "normTopkProb null": { numExpertsPerTok: 2, normTopkProb: null },
    "k = 0": { numExpertsPerTok: 0, normTopkProb: true },
    "k = 1.5": { numExpertsPerTok: 1.5, normTopkProb: true },
    "no k": { normTopkProb: true },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => new TopKRouter(options as { numExpertsPerTok: number; normTopkProb: boolean })).toThrow(ConfigError);
  });

  test("refuses k > E and a mask of another shape or type", () => {
    const router = new TopKRouter({ numExpertsPerTok: 4, normTopkProb: true });
    expect(() => router.route(zeros(backend, [1, 2, 3]))).toThrow(ConfigError);
    expect(() => router.route(zeros(backend, [1, 2, 3]))).toThrow(/3.*4/);
    const logits = zeros(backend, [2, 3, 5]);
    for (const shape of [[6], [3, 2], [2, 3, 1], [2, 5]]) {
      const size = shape.reduce((a, b) => a * b);
      expect(() => router.route(logits, mask(backend, Array(size).fill(1) as number[], shape))).toThrow(ShapeError);
    }
    expect(() => router.route(logits, zeros(backend, [2, 3]))).toThrow(DTypeError);
  });
});
