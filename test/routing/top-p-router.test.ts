// Top-p against the formula, its limits, and the steering of p.
import {
  ConfigError,
  routingStatistics,
  tensor,
  TopPRouter,
  zeros,
  type Backend,
  type TopPRouterOptions,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, mask, normal, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

/** The formula, for one row, in f64; undefined where a sum lies so near p that f32 may see it on the other side. */
function byHand(row: readonly number[], p: number, min: number, max: number): number[] | undefined {
  const total = row.reduce((sum, z) => sum + Math.exp(z), 0);
  const order = [...row.keys()].sort((i, j) => row[j] - row[i] || i - j).slice(0, max);
  let reached = 0;
  const visited: number[] = [];
  for (const e of order) {
    if (p > 0 && p < 1 && Math.abs(reached - p) < 1e-5) return undefined;
    if (visited.length >= min && reached >= p && p < 1) break;
    visited.push(e);
    reached += Math.exp(row[e]) / total;
  }
  return visited;
}

const drawn = fc
  .record({ E: fc.integer({ min: 1, max: 9 }), seed: fc.nat(), p: fc.constantFrom(0, 0.1, 0.3, 0.5, 0.8, 0.99, 1), norm: fc.boolean() })
  .chain((one) => fc.record({ one: fc.constant(one), max: fc.integer({ min: 1, max: one.E }) }))
  .chain(({ one, max }) => fc.record({ one: fc.constant({ ...one, max }), min: fc.integer({ min: 0, max }) })); // prettier-ignore

describe("TopPRouter", () => {
  test("visits the shortest prefix that reaches p, between min and max", async () => {
    const lengths = new Set<number>();
    await fc.assert(
      fc.asyncProperty(drawn, async ({ one: { E, seed, p, norm, max }, min }) => {
        const logits = normals(seed, 3 * E, 2);
        const router = new TopPRouter({ topP: p, minExpertsPerTok: min, maxExpertsPerTok: max, normTopkProb: norm });
        const { experts, weights } = router.route(tensor(backend, logits, [1, 3, E]));
        expect(experts.shape).toEqual([1, 3, max]);
        const [named, weighed] = [await numbers(experts), await numbers(weights)];
        for (let r = 0; r < 3; r++) {
          const row = logits.slice(r * E, (r + 1) * E);
          const expected = byHand(row, p, min, max);
          if (!expected) continue;
          lengths.add(expected.length);
          const slots = named.slice(r * max, (r + 1) * max);
          expect(slots).toEqual([...expected, ...(Array(max - expected.length).fill(-1) as number[])]);
          const total = norm ? expected.reduce((sum, e) => sum + Math.exp(row[e]), 0) : row.reduce((sum, z) => sum + Math.exp(z), 0); // prettier-ignore
          const shares = slots.map((e) => (e === -1 ? 0 : Math.exp(row[e]) / total));
          // Softmax within 4 roundings, the sum of up to 9 of them, the quotient.
          expectWithin(weighed.slice(r * max, (r + 1) * max), shares, shares.map((w) => 16 * u * w)); // prettier-ignore
        }
      }),
    );
    expect(lengths.size).toBeGreaterThan(4);
  });

  test("p = 0 visits the least, p = 1 the most, in however sure a row", async () => {
    const logits = tensor(backend, [200, 0, -200, 0, 0, 0], [1, 2, 3]);
    const counts = async (topP: number, minExpertsPerTok?: number): Promise<number[]> => {
      const options = { topP, maxExpertsPerTok: 3, normTopkProb: true, ...(minExpertsPerTok !== undefined && { minExpertsPerTok }) }; // prettier-ignore
      const experts = await numbers(new TopPRouter(options).route(logits).experts);
      return [0, 3].map((from) => experts.slice(from, from + 3).filter((e) => e !== -1).length);
    };
    expect(await counts(0)).toEqual([1, 1]);
    expect(await counts(0, 0)).toEqual([0, 0]);
    expect(await counts(0, 2)).toEqual([2, 2]);
    expect(await counts(1)).toEqual([3, 3]);
    expect(await counts(0.9)).toEqual([1, 3]);
  });

  test("a token without experts has weights 0, not NaN", async () => {
    const router = new TopPRouter({ topP: 0, minExpertsPerTok: 0, maxExpertsPerTok: 2, normTopkProb: true });
    const { weights } = router.route(zeros(backend, [1, 1, 3]));
    expect(await numbers(weights)).toEqual([0, 0]);
  });

  test("masked rows, no rows", async () => {
    const router = new TopPRouter({ topP: 1, maxExpertsPerTok: 2, normTopkProb: true });
    const { experts } = router.route(zeros(backend, [1, 2, 3]), mask(backend, [0, 1], [1, 2]));
    expect(await numbers(experts)).toEqual([-1, -1, 0, 1]);
    expect(router.route(zeros(backend, [1, 0, 3])).experts.shape).toEqual([1, 0, 2]);
  });

  test("steers p until the activated share lies within the target", async () => {
    const E = 40;
    const logits = normal(backend, 3, [1, 32, E]);
    const router = new TopPRouter({ topP: 0.9, maxExpertsPerTok: E, normTopkProb: true });
    const measure = async (): Promise<number> => (await routingStatistics(router.route(logits))).activated;
    const target = [0.15, 0.2] as const;
    expect(await measure()).toBeGreaterThan(0.5);
    for (let step = 0; step < 25; step++) router.steer(await measure(), { target });
    const found = await measure();
    expect(found).toBeGreaterThan(0.14);
    expect(found).toBeLessThan(0.21);
    const settled = router.topP;
    expect(router.steer(0.17, { target })).toBe(settled);
    expect(router.steer(0, { target, rate: 1 })).toBeCloseTo(settled + 0.15, 12);
    expect(router.steer(1, { target, rate: 100 })).toBe(0);
    expect(router.steer(0, { target, rate: 100 })).toBe(1);
  });

  test("steering refuses what is no share", () => {
    const router = new TopPRouter({ topP: 0.5, maxExpertsPerTok: 2, normTopkProb: true });
    for (const [activated, from, to, rate] of [
      [-1, 0, 1, 1],
      [NaN, 0, 1, 1],
      [2, 0, 1, 1],
      [0.1, 0.5, 0.2, 1],
      [0.1, -1, 1, 1],
      [0.1, 0, 2, 1],
      [0.1, 0, 1, 0],
    ]) {
      // prettier-ignore
      expect(() => router.steer(activated, { target: [from, to], rate })).toThrow(ConfigError);
    }
    expect(router.topP).toBe(0.5);
  });

  const good = { topP: 0.5, maxExpertsPerTok: 2, normTopkProb: true };
  const bad: Record<string, object> = {
    "p > 1": { ...good, topP: 1.1 },
    "p < 0": { ...good, topP: -0.1 },
    "p NaN": { ...good, topP: NaN },
    "no p": { maxExpertsPerTok: 2, normTopkProb: true },
    "min > max": { ...good, minExpertsPerTok: 3 },
    "min < 0": { ...good, minExpertsPerTok: -1 },
    "max 0": { ...good, maxExpertsPerTok: 0, minExpertsPerTok: 0 },
    "no normTopkProb": { topP: 0.5, maxExpertsPerTok: 2 },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => new TopPRouter(options as TopPRouterOptions)).toThrow(ConfigError);
  });

  test("refuses more slots than experts, by the option's name", () => {
    expect(() => new TopPRouter({ ...good, maxExpertsPerTok: 4 }).route(zeros(backend, [1, 1, 3]))).toThrow(
      /maxExpertsPerTok.*3.*4/,
    );
  });
});
