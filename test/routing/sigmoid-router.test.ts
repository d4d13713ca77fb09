// DeepSeek-V3's router: the formula with its groups is in router-golden; here what the bias may do, its update, and edges.
import {
  allParameters, CapacityRouter, ConfigError, MoELayer, parameters, randomWeights, ShapeError, SigmoidRouter, sum, tensor, valueAndGrad, zeros,
  type Backend, type Routing, type SigmoidRouterOptions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { AdamW } from "qwen-blocks/train";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, ints, mask, normal, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const routerOf = (options: Partial<SigmoidRouterOptions> = {}): SigmoidRouter =>
  new SigmoidRouter({ numExpertsPerTok: 1, normTopkProb: false, ...options });
const odd = (z: number): number => 1 / (1 + Math.exp(-z));

describe("SigmoidRouter", () => {
  test("the bias chooses and weighs nothing", async () => {
    const logits = tensor(backend, [2, 0, -1], [1, 1, 3]);
    const bias = tensor(backend, [-1, 0, 0.1]); // 0.88 - 1, 0.5, 0.27 + 0.1
    const two = routerOf({ numExpertsPerTok: 2, eScoreCorrectionBias: bias });
    const { experts, weights } = two.route(logits);
    expect(await numbers(experts)).toEqual([1, 2]);
    expectWithin(await numbers(weights), [odd(0), odd(-1)], [4 * u, 4 * u]);
    const scaled = routerOf({ numExpertsPerTok: 2, normTopkProb: true, routedScalingFactor: 2.5, eScoreCorrectionBias: bias }); // prettier-ignore
    const shares = [odd(0), odd(-1)].map((w) => (2.5 * w) / (odd(0) + odd(-1)));
    expectWithin(await numbers(scaled.route(logits).weights), shares, [32 * u, 32 * u]);
  });

  test("groups: the two best of a group speak for it", async () => {
    // Sums of two: 0.5 + 0.5 against 0.73 + 0.12.
    const logits = tensor(backend, [1, -2, 0, 0], [1, 1, 4]);
    expect(await numbers(routerOf().route(logits).experts)).toEqual([0]);
    expect(await numbers(routerOf({ nGroup: 2, topkGroup: 1 }).route(logits).experts)).toEqual([2]);
    // A group of one speaks for itself; nothing outside the groups is chosen however low the rest.
    expect(await numbers(routerOf({ nGroup: 4, topkGroup: 1 }).route(logits).experts)).toEqual([0]);
    const bias = tensor(backend, [-5, -5, -9, -9]);
    const inside = routerOf({ numExpertsPerTok: 2, nGroup: 2, topkGroup: 1, eScoreCorrectionBias: bias }).route(logits);
    expect(await numbers(inside.experts)).toEqual([0, 1]);
  });

  test("scores that vanish in f32 give weights 0 and gradients 0, not NaN", async () => {
    const router = routerOf({ numExpertsPerTok: 2, normTopkProb: true });
    const logits = tensor(backend, [-200, -300, -200, 0, -200, -300], [1, 2, 3]);
    expect(await numbers(router.route(logits).weights)).toEqual([0, 0, 1, 0]);
    const { grads } = valueAndGrad(new Map([["z", logits]]), () => sum(router.route(logits).weights, [0, 1, 2]));
    expect(await numbers(grads.get("z") as Tensor)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("k = E = 1, no rows, masked rows", async () => {
    const { experts, weights } = routerOf({ normTopkProb: true }).route(zeros(backend, [1, 2, 1]), mask(backend, [1, 0], [1, 2])); // prettier-ignore
    expect([...(await numbers(experts)), ...(await numbers(weights))]).toEqual([0, -1, 1, 0]);
    for (const options of [{}, { nGroup: 2, topkGroup: 1 }]) {
      expect(routerOf(options).route(zeros(backend, [1, 0, 4])).experts.shape).toEqual([1, 0, 1]);
    }
  });

  const bad: Record<string, object> = {
    "k = 0": { numExpertsPerTok: 0 },
    "normTopkProb left out": { normTopkProb: undefined },
    "a factor that is no number": { routedScalingFactor: NaN },
    "0 groups": { nGroup: 0 },
    "more groups chosen than there are": { nGroup: 2, topkGroup: 3 },
    "half a group": { nGroup: 2, topkGroup: 0.5 },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => routerOf(options)).toThrow(ConfigError);
  });

  test("refuses experts that the groups do not divide or hold, and a bias of another size", () => {
    const logits = zeros(backend, [1, 1, 6]);
    expect(() => routerOf({ nGroup: 4, topkGroup: 1 }).route(logits)).toThrow(/nGroup.*6.*4/);
    expect(() => routerOf({ numExpertsPerTok: 4, nGroup: 2, topkGroup: 1 }).route(logits)).toThrow(/3.*4/);
    for (const groups of [{}, { nGroup: 2, topkGroup: 1 }]) {
      const eScoreCorrectionBias = zeros(backend, [1]);
      expect(() => routerOf({ ...groups, eScoreCorrectionBias }).route(logits)).toThrow(ShapeError);
    }
  });
});

describe("the bias's update", () => {
  const routingOf = (experts: readonly number[], dropped?: readonly number[]): Routing => ({
    logits: zeros(backend, [1, experts.length, 4]),
    weights: zeros(backend, [1, experts.length, 1]),
    experts: ints(backend, experts, [1, experts.length, 1]),
    dropped: dropped && ints(backend, dropped),
  });

  test("goes up where an expert got less than the mean, down where more, by the rate", async () => {
    const bias = tensor(backend, [1, 1, 1, 1]);
    const router = routerOf({ eScoreCorrectionBias: bias });
    // 3 1 0 0 of 4, the mean 1; empty slots are nobody's.
    await expectNoLeak(backend, () => {
      const routing = routingOf([0, 0, 0, 1, -1]);
      router.updateBias([routing], { rate: 0.25 });
      for (const made of [routing.logits, routing.weights, routing.experts]) made.dispose();
    });
    expect(await numbers(bias)).toEqual([0.75, 1, 1.25, 1.25]);
    router.updateBias(new Map([[0, routingOf([0])], [3, routingOf([1])]]), { rate: 0.5 }); // prettier-ignore
    expect(await numbers(bias)).toEqual([0.25, 0.5, 1.75, 1.75]);
    // What was dropped was wanted.
    router.updateBias([routingOf([0, 1, 2, 3], [0, 0, 0, 4])], { rate: 0.25 });
    expect(await numbers(bias)).toEqual([0.5, 0.75, 2, 1.5]);
  });

  test("evens the load of a router that starts with favourites", async () => {
    const logits = normal(backend, 1, [1, 256, 8]);
    const favour = tensor(backend, [2, 1, 0.5, 0, 0, -0.5, -1, -2]);
    const bias = tensor(backend, await numbers(favour));
    const router = routerOf({ numExpertsPerTok: 2, eScoreCorrectionBias: bias });
    const most = async (): Promise<number> => {
      const experts = await numbers(router.route(logits).experts);
      return Math.max(...[...Array(8).keys()].map((e) => experts.filter((one) => one === e).length));
    };
    expect(await most()).toBeGreaterThan(200); // 64 each would be even
    for (let step = 0; step < 100; step++) router.updateBias([router.route(logits)], { rate: 0.03 });
    expect(await most()).toBeLessThan(90);
  });

  test("is a parameter of the layer that no optimizer moves", async () => {
    const bias = tensor(backend, [0.5, -0.5]);
    const router = new CapacityRouter(routerOf({ eScoreCorrectionBias: bias }), { capacityFactor: 2 });
    const moe = new MoELayer(randomWeights(backend, 1), { hiddenSize: 4, moeIntermediateSize: 4, numExperts: 2, router }); // prettier-ignore
    expect(allParameters(moe).get("router.router.eScoreCorrectionBias")).toBe(bias);
    const optimizer = new AdamW(parameters(moe), { weightDecay: 0.1 });
    const x = normal(backend, 2, [1, 3, 4]);
    const { grads } = valueAndGrad(parameters(moe), () => sum(moe.forward(x).output, [0, 1, 2]));
    optimizer.advance(0.1);
    optimizer.apply(grads);
    expect(await numbers(bias)).toEqual([0.5, -0.5]);
  });

  test("says where the experts are too few: in all, in the open groups, or in the routings of an update", () => {
    const logits = zeros(backend, [1, 1, 4]);
    const route = (options: object) => () =>
      new SigmoidRouter({ numExpertsPerTok: 3, normTopkProb: true, ...options }).route(logits);
    expect(route({ numExpertsPerTok: 5 })).toThrow(/number of experts 4, got 5/);
    expect(route({ nGroup: 2, topkGroup: 1 })).toThrow(/the 2 experts of topkGroup = 1 of 2 groups, got 3/);
    const eScoreCorrectionBias = zeros(backend, [5]);
    const router = new SigmoidRouter({ numExpertsPerTok: 1, normTopkProb: true, eScoreCorrectionBias });
    expect(() => router.updateBias([routingOf([0])], { rate: 1 })).toThrow(
      /eScoreCorrectionBias must have shape \[4\]/,
    );
  });

  test("refuses to update nothing, by nothing, of nothing", () => {
    const bias = zeros(backend, [4]);
    expect(() => routerOf().updateBias([routingOf([0])], { rate: 0.1 })).toThrow(ConfigError);
    expect(() => routerOf({ eScoreCorrectionBias: bias }).updateBias([], { rate: 0.1 })).toThrow(ConfigError);
    expect(() => routerOf({ eScoreCorrectionBias: bias }).updateBias([routingOf([0])], { rate: 0 })).toThrow(
      ConfigError,
    );
    const other = { ...routingOf([0]), logits: zeros(backend, [1, 1, 5]) };
    expect(() => routerOf({ eScoreCorrectionBias: bias }).updateBias([routingOf([0]), other], { rate: 1 })).toThrow(
      ShapeError,
    );
  });
});
