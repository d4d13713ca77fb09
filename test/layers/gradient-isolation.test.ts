// Which gradients a mixture sends to its input, and which of them the options cut: no more and no less, on every backend.
import {
  add, disposeAll, MoELayer, mul, parameters, randomWeights, sum, TopKRouter, valueAndGrad, type Backend, type MoELayerOptions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { expectWithin, normal, numbers, u } from "../tensor/numbers.js";

const shared = { sharedExpertIntermediateSize: 5, sharedExpertGate: true };
const sizes = { hiddenSize: 4, moeIntermediateSize: 3, numExperts: 4 };
const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: false });
type Isolation = Pick<MoELayerOptions, "isolateRouter" | "isolateExperts">;

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  /** By parameter; "x" is what reaches the trunk. */
  async function gradients(
    isolation: Isolation,
    more: Partial<MoELayerOptions> = shared,
  ): Promise<Map<string, number[]>> {
    const w = randomWeights(backend, 3, { initializerRange: 0.7 });
    const layer = new MoELayer(w, { ...sizes, router, ...more, ...isolation });
    const x = normal(backend, 5, [1, 3, 4]);
    const loss = (y: Tensor): Tensor => sum(mul(add(y, 1), y), [0, 1, 2]);
    const { value, grads } = valueAndGrad(new Map([...parameters(layer), ["x", x]]), () => ({ loss: loss(layer.forward(x).output) })); // prettier-ignore
    const found = new Map<string, number[]>();
    for (const [path, grad] of grads) found.set(path, await numbers(grad));
    disposeAll([layer, x, value, [...grads.values()]]);
    return found;
  }
  const isolations = { none: {}, router: { isolateRouter: true }, experts: { isolateExperts: true }, both: { isolateRouter: true, isolateExperts: true } }; // prettier-ignore

  test.each([
    ["with a shared expert", shared],
    ["without one", {}],
  ])("%s: the layer's own weights learn as ever, bit by bit", async (_, more) => {
    const { x: _x, ...free } = Object.fromEntries(await gradients({}, more));
    for (const isolation of Object.values(isolations)) {
      const { x: _, ...own } = Object.fromEntries(await gradients(isolation, more));
      expect(own).toEqual(free);
    }
    for (const [path, grad] of Object.entries(free)) expect(grad.some((g) => g !== 0), path).toBe(true); // prettier-ignore
  });

  test("the input's gradient is the sum of the router's and the experts' part; each option takes one away, both leave nothing", async () => {
    const of = async (isolation: Isolation): Promise<number[]> => (await gradients(isolation)).get("x")!;
    const [whole, fromExperts, fromRouter, none] = [
      await of({}),
      await of(isolations.router),
      await of(isolations.experts),
      await of(isolations.both),
    ];
    for (const part of [whole, fromExperts, fromRouter]) expect(part.every((g) => g !== 0)).toBe(true);
    expect(none).toEqual(Array(12).fill(0));
    // The same products, added in another order: of a few terms, each no larger than the largest by much.
    const sums = fromExperts.map((g, i) => g + fromRouter[i]);
    const size = Math.max(...[...fromExperts, ...fromRouter, ...whole].map(Math.abs));
    expectWithin(whole, sums, Array<number>(12).fill(16 * u * size));
  });

  test("weights that no gradient passes leave the experts' part alone", async () => {
    const uniform = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true, score: "uniform" });
    const of = async (isolation: Isolation): Promise<number[]> =>
      (await gradients(isolation, { ...shared, router: uniform })).get("x")!;
    expect(await of(isolations.router)).toEqual(await of({}));
    expect(await of(isolations.experts)).toEqual(Array(12).fill(0));
  });

  test("may be changed from one pass to the next", async () => {
    const layer = new MoELayer(randomWeights(backend, 3, { initializerRange: 0.7 }), { ...sizes, router });
    const x = normal(backend, 5, [1, 2, 4]);
    const seen = new Set<string>();
    for (const isolation of [isolations.none, isolations.router, isolations.experts]) {
      Object.assign(layer, { isolateRouter: false, isolateExperts: false, ...isolation });
      const { value, grads } = valueAndGrad(new Map([["x", x]]), () => ({
        loss: sum(layer.forward(x).output, [0, 1, 2]),
      }));
      seen.add(String(await numbers(grads.get("x")!)));
      disposeAll([value, [...grads.values()]]);
    }
    expect(seen.size).toBe(3);
    disposeAll([layer, x]);
  });
});
