// Laws of routers by themselves, on drawn logits [B, T, E]: distinct experts, independent rows, masks, room enough, and gradients that are
// slopes.
import {
  add, CapacityRouter, mul, NoisyRouter, Random, scope, sum, tensor, TopKRouter, TopPRouter, valueAndGrad, type Backend, type Router, type Routing,
  type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { oracle, type Oracle } from "qwen-blocks/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals, numbers } from "../tensor/numbers.js";
import { inOrder, routerOf, routers, type DrawnRouter } from "./drawn-routers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

interface Case {
  readonly router: DrawnRouter;
  readonly B: number;
  readonly T: number;
  readonly seed: number;
}
const cases = (from = routers()): fc.Arbitrary<Case> =>
  fc.record({ router: from, B: fc.integer({ min: 1, max: 3 }), T: fc.integer({ min: 1, max: 5 }), seed: fc.nat() });

const logitsOf = ({ router: { E }, B, T, seed }: Case): number[] => normals(seed, B * T * E, 1.5);

/** On the host: of each token its experts and weights. */
interface Visits {
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}
interface Seen {
  readonly visits: readonly Visits[];
  readonly dropped: readonly number[] | undefined;
}

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  /** Routes and frees, the router's bias with it. */
  async function see({ router, B, T }: Case, logits: readonly number[], mask?: readonly number[]): Promise<Seen> {
    return seeBy((where) => routerOf(router, where), [B, T, router.E], logits, mask);
  }
  async function seeBy(
    make: (where: Backend) => Router,
    shape: readonly [number, number, number],
    logits: readonly number[],
    mask?: readonly number[],
  ): Promise<Seen> {
    const { experts, weights, dropped } = scope(() => {
      const rowMask = mask && tensor(backend, mask, shape.slice(0, 2), "u32");
      return { ...make(backend).route(tensor(backend, logits, shape), rowMask) } as never;
    }) as Routing;
    const k = experts.shape[2];
    const [named, weighed] = [await numbers(experts), await numbers(weights)];
    const lost = dropped && (await numbers(dropped));
    for (const made of [experts, weights, dropped]) made?.dispose();
    const visits = inOrder(shape[0] * shape[1]).map((row) => ({
      experts: named.slice(row * k, (row + 1) * k),
      weights: weighed.slice(row * k, (row + 1) * k),
    }));
    return { visits, dropped: lost };
  }

  const law = (from: fc.Arbitrary<Case>, holds: (one: Case, draws: readonly number[]) => Promise<void>): Promise<void> =>
    fc.assert(
      fc.asyncProperty(from, fc.array(fc.nat(), { minLength: 16, maxLength: 16 }), holds),
      { numRuns: runs(40) },
    ); // prettier-ignore

  test("a token's experts are distinct and exist; an empty slot has weight 0, a filled one none below", () =>
    law(cases(), async (one) => {
      const { visits } = await see(one, logitsOf(one));
      for (const { experts, weights } of visits) {
        const filled = experts.filter((e) => e !== -1);
        expect(new Set(filled).size).toBe(filled.length);
        for (const e of filled) expect(e >= 0 && e < one.router.E).toBe(true);
        experts.forEach((e, j) => (e === -1 ? expect(weights[j]).toBe(0) : expect(weights[j]).toBeGreaterThan(0)));
      }
    }));

  test("a masked row is empty, takes no room, and what it holds changes no other", () =>
    law(cases(), async (one, draws) => {
      const { E } = one.router;
      const mask = inOrder(one.B * one.T).map((row) => draws[row] % 2);
      const logits = logitsOf(one);
      const other = logits.map((z, i) => (mask[Math.floor(i / E)] ? z : draws[i % 16] % 40));
      const found = await see(one, logits, mask);
      expect(await see(one, other, mask)).toEqual(found);
      found.visits.forEach(({ experts, weights }, row) => {
        if (mask[row] === 1) return;
        expect([...experts, ...weights]).toEqual([...experts.map(() => -1), ...weights.map(() => 0)]);
      });
    }));

  test("row-wise: neither a later token nor another batch row changes anything", () =>
    law(cases(routers().filter((drawn) => scope(() => routerOf(drawn, backend).rowWise))), async (one, draws) => {
      const { E } = one.router;
      const [b, t] = [draws[0] % one.B, draws[1] % one.T];
      const logits = logitsOf(one);
      const seen = (row: number): boolean => Math.floor(row / one.T) === b && row % one.T <= t;
      const other = logits.map((z, i) => (seen(Math.floor(i / E)) ? z : (draws[i % 16] % 7) - 3));
      const [before, after] = [await see(one, logits), await see(one, other)];
      before.visits.forEach((visits, row) => seen(row) && expect(after.visits[row]).toEqual(visits));
    }));

  test("with room for all a capacity changes nothing, and more candidates neither", () =>
    law(cases(routers(["softmax"])), async (one, draws) => {
      const { E, k, normTopkProb } = one.router;
      const logits = logitsOf(one);
      const shape = [one.B, one.T, E] as const;
      const plain = await see(one, logits);
      const per = draws[0] % 2 ? "row" : "batch";
      const limited = new CapacityRouter(routerOf(one.router, backend), { capacityFactor: E, per });
      const found = await seeBy(() => limited, shape, logits);
      expect(found.visits.map(({ experts }) => experts)).toEqual(plain.visits.map(({ experts }) => experts));
      expect(found.dropped).toEqual(Array(E).fill(0));
      const all = new TopKRouter({ numExpertsPerTok: E, normTopkProb });
      const choosy = new CapacityRouter(all, { capacityFactor: E, per, numExpertsPerTok: k });
      const chosen = await seeBy(() => choosy, shape, logits);
      const rest = Array(E - k).fill(-1) as number[];
      expect(chosen.visits.map(({ experts }) => experts)).toEqual(plain.visits.map(({ experts }) => [...experts, ...rest])); // prettier-ignore
      expect(chosen.dropped).toEqual(Array(E).fill(0));
    }));

  test("top-p with p = 1 is top-k; noise that is off is no noise", () =>
    law(cases(routers(["softmax"])), async (one) => {
      const { E, k, normTopkProb } = one.router;
      const logits = logitsOf(one);
      const shape = [one.B, one.T, E] as const;
      const plain = await see(one, logits);
      const all = new TopPRouter({ topP: 1, maxExpertsPerTok: k, normTopkProb });
      const { visits } = await seeBy(() => all, shape, logits);
      expect(visits.map(({ experts }) => experts)).toEqual(plain.visits.map(({ experts }) => experts));
      const noisy = new NoisyRouter(routerOf(one.router, backend), { random: new Random(1), noise: 1, jitter: 0.5 });
      noisy.active = false;
      expect(await seeBy(() => noisy, shape, logits)).toEqual(plain);
    }));

  test("gradients lie within their bounds", async () => {
    const tally = new Tally();
    await law(cases(), (one) => expectSame(backend, { gradient: gradient(one) }, tally, { drawn: [one] }));
    tally.expectMost();
  });
});

test("gradients are the slopes of the weights", () =>
  fc.assert(
    fc.asyncProperty(cases(), fc.nat(), (one, seed) => expectSlope(oracle("ieee"), one, seed)),
    { numRuns: runs(40) },
  ));

/** A sum of the weights of the slots, each times a number of its own. */
function heightOf({ router, seed }: Case, where: Backend, logits: Tensor): { height: Tensor; experts: Tensor } {
  const { weights, experts } = routerOf(router, where).route(logits);
  const factors = tensor(where, normals(seed + 5, weights.size), weights.shape);
  return { height: sum(mul(weights, factors), [0, 1, 2]), experts };
}

const gradient =
  (one: Case): Way =>
  (where) => {
    const logits = tensor(where, logitsOf(one), [one.B, one.T, one.router.E]);
    // A router without a gradient still has one of zeros.
    const { grads } = valueAndGrad(new Map([["logits", logits]]), () =>
      add(heightOf(one, where, logits).height, mul(sum(logits, [0, 1, 2]), 0)),
    );
    return [grads.get("logits") as Tensor];
  };

/** In f64 along a random direction, with two steps whose error falls by four from one to the other. */
async function expectSlope(judge: Oracle, one: Case, seed: number): Promise<void> {
  const given = Float64Array.from(logitsOf(one));
  const direction = normals(seed + 3, given.length);
  const heightAt = async (step: number): Promise<{ height: number; chosen: string }> => {
    const logits = tensor(judge, [...given], [one.B, one.T, one.router.E]);
    judge.assign(
      logits,
      given.map((z, i) => z + step * direction[i]),
    );
    const { height, experts } = heightOf(one, judge, logits);
    const [[value], chosen] = [(await judge.inspect(height)).value, (await judge.inspect(experts)).value.join()];
    return { height: value, chosen };
  };
  const step = 2 ** -10;
  const [far, farBelow, near, nearBelow] = await Promise.all([step, -step, step / 2, -step / 2].map(heightAt));
  if (new Set([far, farBelow, near, nearBelow].map(({ chosen }) => chosen)).size > 1) return; // near a tie there is no slope
  const coarse = (far.height - farBelow.height) / (2 * step);
  const fine = (near.height - nearBelow.height) / step;
  const claimed = await judge.inspect(gradient(one)(judge)[0]);
  const along = claimed.value.reduce((total, g, i) => total + g * direction[i], 0);
  // f64 leaves 2^-50 of heights of at most 30 or so, over a step of 2^-10.
  expect(Math.abs(along - fine)).toBeLessThanOrEqual(Math.abs(coarse - fine) + 2 ** -34);
}
