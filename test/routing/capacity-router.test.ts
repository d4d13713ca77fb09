// Capacity against a walk over the tokens by hand: who fits, who is dropped, who goes to the next choice; and a factor that follows the load.
import {
  CapacityRouter, ConfigError, routingStatistics, SigmoidRouter, tensor, TopKRouter, TopPRouter, type Backend, type CapacityOptions, type Routing,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, mask, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

/** Experts by preference, for each token of a group; of these the first `slots`. */
type Wishes = readonly (readonly number[])[];
const wishesOf = (logits: readonly number[], E: number, slots: number): number[][] =>
  Array.from({ length: logits.length / E }, (_, r) => {
    const row = logits.slice(r * E, (r + 1) * E);
    return [...row.keys()].sort((i, j) => row[j] - row[i] || i - j).slice(0, slots);
  });

/** Token after token, slot after slot. */
function firstCome(wishes: Wishes, room: number, dropped: number[]): number[][] {
  const used = dropped.map(() => 0);
  return wishes.map((row) =>
    row.map((e) => {
      if (used[e]++ < room) return e;
      dropped[e]++;
      return -1;
    }),
  );
}

/** Choice after choice, and in each token after token; who has k is done. */
function nextChoice(wishes: Wishes, room: number, k: number, dropped: number[]): number[][] {
  const used = dropped.map(() => 0);
  const kept = wishes.map((row) => row.map(() => -1));
  const refused = wishes.map((): number[] => []);
  const has = (t: number): number => kept[t].filter((e) => e !== -1).length;
  for (let j = 0; j < (wishes[0]?.length ?? 0); j++) {
    wishes.forEach((row, t) => {
      if (has(t) === k) return;
      if (used[row[j]] < room) {
        used[row[j]]++;
        kept[t][j] = row[j];
      } else refused[t].push(row[j]);
    });
  }
  wishes.forEach((_, t) => refused[t].slice(0, k - has(t)).forEach((e) => dropped[e]++));
  return kept;
}

const drawn = fc
  .record({
    B: fc.integer({ min: 1, max: 3 }),
    T: fc.integer({ min: 1, max: 7 }),
    E: fc.integer({ min: 1, max: 5 }),
    seed: fc.nat(),
  }) // prettier-ignore
  .chain((sizes) =>
    fc.record({
      sizes: fc.constant(sizes),
      slots: fc.integer({ min: 1, max: sizes.E }),
      k: fc.integer({ min: 1, max: sizes.E }),
      factor: fc.constantFrom(0, 0.25, 0.5, 1, 1.25, 2, 1e30),
      per: fc.constantFrom("row" as const, "batch" as const),
    }),
  );

describe("CapacityRouter", () => {
  test("is the walk by hand, dropped or sent on, per row and per batch", async () => {
    const sent = { on: 0, out: 0 };
    await fc.assert(
      fc.asyncProperty(drawn, async ({ sizes: { B, T, E, seed }, slots, k, factor, per }) => {
        // All want nearly the same, so that they meet.
        const liking = normals(seed + 1, E, 2);
        const logits = normals(seed, B * T * E).map((z, i) => Math.fround(z + liking[i % E]));
        const inner = new TopKRouter({ numExpertsPerTok: slots, normTopkProb: false });
        const most = Math.min(k, slots);
        const options = { capacityFactor: factor, per, ...(k < slots && { numExpertsPerTok: k }) };
        const x = tensor(backend, logits, [B, T, E]);
        const { experts, weights, dropped } = new CapacityRouter(inner, options).route(x);
        const wishes = wishesOf(logits, E, slots);
        const size = per === "row" ? T : B * T;
        const room = Math.ceil((size * most * factor) / E);
        const lost = Array(E).fill(0) as number[];
        const expected: number[][] = [];
        for (let from = 0; from < B * T; from += size) {
          const group = wishes.slice(from, from + size);
          expected.push(...(k < slots ? nextChoice(group, room, k, lost) : firstCome(group, room, lost)));
        }
        expect(await numbers(experts)).toEqual(expected.flat());
        expect(await numbers(dropped!)).toEqual(lost);
        const plain = await numbers(inner.route(x).weights);
        expect(await numbers(weights)).toEqual(plain.map((w, i) => (expected.flat()[i] === -1 ? 0 : w)));
        sent.out += lost.reduce((a, b) => a + b);
        if (k < slots) sent.on += expected.filter((row) => row.slice(k).some((e) => e !== -1)).length;
      }),
      { numRuns: 200 },
    );
    expect(Math.min(sent.on, sent.out)).toBeGreaterThan(10);
  });

  test("by example: of four tokens that want expert 0 the first two get it", async () => {
    const wanting = [3, 2, 1, 3, 2, 1, 3, 2, 1, 3, 1, 2];
    const logits = tensor(backend, wanting, [1, 4, 3]);
    // ceil(4 x 1 x 1.5 / 3) = 2
    const drop = new CapacityRouter(top(1), { capacityFactor: 1.5 }).route(logits);
    expect(await numbers(drop.experts)).toEqual([0, 0, -1, -1]);
    expect(await numbers(drop.dropped!)).toEqual([2, 0, 0]);
    // The third goes to its second choice, the fourth to its own.
    const on = new CapacityRouter(top(3), { capacityFactor: 1.5, numExpertsPerTok: 1 }).route(logits);
    expect(await numbers(on.experts)).toEqual([0, -1, -1, 0, -1, -1, -1, 1, -1, -1, 2, -1]);
    expect(await numbers(on.dropped!)).toEqual([0, 0, 0]);
  });

  test("what is kept is normalised anew, to the scaling factor", async () => {
    const logits = tensor(backend, [2, 1, 0, 2, 1, 0], [1, 2, 3]);
    // ceil(2 x 2 x 0.5 / 3) = 1: the second token loses both of its experts, the third expert is nobody's.
    const norm = new CapacityRouter(top(2, true), { capacityFactor: 0.5 }).route(logits);
    expect(await numbers(norm.experts)).toEqual([0, 1, -1, -1]);
    const odds = Math.exp(1) / (1 + Math.exp(1));
    expectWithin(await numbers(norm.weights), [odds, 1 - odds, 0, 0], [8 * u, 8 * u, 0, 0]);
    const inner = new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true, routedScalingFactor: 2.5 });
    const other = tensor(backend, [2, 1, 0, 0, 2, 1], [1, 2, 3]);
    const kept = new CapacityRouter(inner, { capacityFactor: 0.5 }).route(other);
    expect(await numbers(kept.experts)).toEqual([0, 1, -1, 2]);
    expect((await numbers(kept.weights))[3]).toBe(2.5);
  });

  test("padding takes no room, but counts in the number of tokens", async () => {
    const logits = tensor(backend, Array.from({ length: 8 }, (_, i) => (i % 2 ? 0 : 1)), [1, 4, 2]); // prettier-ignore
    const router = new CapacityRouter(top(1), { capacityFactor: 1 });
    const { experts, dropped } = router.route(logits, mask(backend, [0, 1, 1, 1], [1, 4]));
    expect(await numbers(experts)).toEqual([-1, 0, 0, -1]);
    expect(await numbers(dropped!)).toEqual([1, 0]);
    const none = router.route(logits, mask(backend, [0, 0, 0, 0], [1, 4]));
    expect([...(await numbers(none.experts)), ...(await numbers(none.dropped!))]).toEqual([-1, -1, -1, -1, 0, 0]);
  });

  test("capacity 0 empties everything; no tokens, no rows, one expert", async () => {
    for (const options of [{}, { numExpertsPerTok: 1 }, { per: "batch" as const }]) {
      const router = new CapacityRouter(top(2, true), { capacityFactor: 0, ...options });
      const { experts, weights, dropped } = router.route(tensor(backend, [2, 1, 0, 2, 1, 0], [1, 2, 3]));
      expect(await numbers(experts)).toEqual([-1, -1, -1, -1]);
      expect(await numbers(weights)).toEqual([0, 0, 0, 0]);
      expect(await numbers(dropped!)).toEqual("numExpertsPerTok" in options ? [2, 0, 0] : [2, 2, 0]);
      for (const shape of [
        [1, 0, 3],
        [0, 2, 3],
      ]) {
        // prettier-ignore
        const none = router.route(tensor(backend, [], shape));
        expect(none.experts.shape).toEqual([...shape.slice(0, 2), 2]);
        expect(await numbers(none.dropped!)).toEqual([0, 0, 0]);
      }
    }
    const one = new CapacityRouter(top(1), { capacityFactor: 0.5 }).route(tensor(backend, [1, 1, 1], [1, 3, 1]));
    expect(await numbers(one.experts)).toEqual([0, 0, -1]);
    expect(await numbers(one.dropped!)).toEqual([1]);
  });

  test("is row-wise per row without next choices, around a row-wise router", () => {
    const wise = (options: Partial<CapacityOptions>): boolean =>
      new CapacityRouter(top(2), { capacityFactor: 1, ...options }).rowWise;
    expect([wise({}), wise({ per: "row" }), wise({ per: "batch" }), wise({ numExpertsPerTok: 1 })]).toEqual([true, true, false, false]); // prettier-ignore
    const inner = new CapacityRouter(top(1), { capacityFactor: 1, per: "batch" });
    expect(new CapacityRouter(inner, { capacityFactor: 1 }).rowWise).toBe(false);
  });

  test("one around another counts what either dropped", async () => {
    const logits = tensor(backend, Array.from({ length: 8 }, (_, i) => (i % 2 ? 0 : 1)), [2, 2, 2]); // prettier-ignore
    const perRow = new CapacityRouter(top(1), { capacityFactor: 1 }); // one of each row
    const { experts, dropped } = new CapacityRouter(perRow, { capacityFactor: 0.5, per: "batch" }).route(logits);
    expect(await numbers(experts)).toEqual([0, -1, -1, -1]);
    expect(await numbers(dropped!)).toEqual([3, 0]);
  });

  test("the factor follows what was wanted, dropped slots among it", async () => {
    const router = new CapacityRouter(new TopPRouter({ topP: 0.5, maxExpertsPerTok: 1, normTopkProb: false }), {
      capacityFactor: 1,
    });
    // Three of four tokens want expert 0: 3 over a mean of 2.
    const logits = tensor(backend, [1, 0, 1, 0, 1, 0, 0, 1], [1, 4, 2]);
    const routing: Routing = router.route(logits);
    const { maxOverMean, peakDemand, droppedShare, activated } = await routingStatistics(routing);
    expect([peakDemand, droppedShare, activated]).toEqual([1.5, 0.25, 3 / 8]);
    expect(maxOverMean).toBeCloseTo(4 / 3, 6);
    expect(router.follow(peakDemand, { slack: 1, most: 2 })).toBe(1.5);
    expect(router.capacityFactor).toBe(1.5);
    expect(await numbers(router.route(logits).dropped!)).toEqual([0, 0]);
    expect(router.follow(9, { slack: 1, most: 2 })).toBe(2);
    expect(router.follow(0, { slack: 1.1, most: 2 })).toBe(1);
    for (const [peak, slack, most] of [
      [NaN, 1, 2],
      [-1, 1, 2],
      [1, 0, 2],
      [1, 1, 0.5],
    ]) {
      // prettier-ignore
      expect(() => router.follow(peak, { slack, most })).toThrow(ConfigError);
    }
  });

  test("refuses no router", () => {
    expect(() => new CapacityRouter(undefined as never, { capacityFactor: 1 })).toThrow(/a router must be given/);
  });

  const bad: Record<string, object> = {
    "a negative factor": { capacityFactor: -1 },
    "no factor": {},
    "an endless factor": { capacityFactor: Infinity },
    "another group": { capacityFactor: 1, per: "token" },
    "k = 0": { capacityFactor: 1, numExpertsPerTok: 0 },
    "k = 1.5": { capacityFactor: 1, numExpertsPerTok: 1.5 },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => new CapacityRouter(top(2), options as CapacityOptions)).toThrow(ConfigError);
  });
});

const top = (numExpertsPerTok: number, normTopkProb = false): TopKRouter =>
  new TopKRouter({ numExpertsPerTok, normTopkProb });
