// The shared expert of a mixture: a feed-forward beside the routed ones, weighed by a sigmoid where it has a gate. Golden values are in
// mixture-golden.test.ts.
import {
  add, allParameters, ConfigError, disposeAll, DTypeError, linear, MoELayer, mul, parameters, randomWeights, reshape, ShapeError, sigmoid, sum, TopKRouter,
  tensor, valueAndGrad, type Backend, type MoELayerOptions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { packModel } from "qwen-blocks/quant";
import { beforeAll, describe, expect, test } from "vitest";
import { bits, expectNoLeak, mask, normal, normals, numbers } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

const sizes = { hiddenSize: 4, moeIntermediateSize: 3, numExperts: 3 };
const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
const layerOf = (more: Partial<MoELayerOptions> = {}): MoELayer =>
  new MoELayer(randomWeights(backend, 3, { initializerRange: 0.7 }), { ...sizes, router, ...more });

describe("a shared expert", () => {
  test("adds what it gives, times sigmoid(x w) where it has a gate; the routed experts are as without it", async () => {
    const x = normal(backend, 1, [2, 3, 4]);
    const routed = layerOf().forward(x).output;
    for (const sharedExpertGate of [false, true]) {
      const layer = layerOf({ sharedExpertIntermediateSize: 5, sharedExpertGate });
      const all = layer.sharedExpert!.forward(x);
      const weight = layer.sharedExpertGate && sigmoid(linear(x, layer.sharedExpertGate.weight));
      const expected = add(routed, weight ? mul(all, weight) : all);
      expect(await bits(layer.forward(x).output)).toEqual(await bits(expected));
    }
  });

  test("has parameters named as in checkpoints, and none where there is no shared expert", async () => {
    const shapes = (more: Partial<MoELayerOptions>): unknown[] =>
      [...parameters(layerOf(more))].slice(3).map(([path, { shape }]) => [path, shape]);
    const feedForward = [["sharedExpert.gateUpProj.weight", [10, 4]], ["sharedExpert.downProj.weight", [4, 5]]]; // prettier-ignore
    expect(shapes({ sharedExpertIntermediateSize: 5, sharedExpertGate: false })).toEqual(feedForward);
    const gated = { sharedExpertIntermediateSize: 5, sharedExpertGate: true };
    expect(shapes(gated)).toEqual([...feedForward, ["sharedExpertGate.weight", [1, 4]]]);
    expect(shapes({ sharedExpertIntermediateSize: 0, sharedExpertGate: true })).toEqual([]);
    await expectNoLeak(backend, () => disposeAll(layerOf(gated)));
  });

  test("gives 0 in masked rows, which change no bit and no gradient of the others, whatever they hold", async () => {
    const layer = layerOf({ sharedExpertIntermediateSize: 5, sharedExpertGate: true });
    const kept = [1, 0, 1];
    const given = normals(2, 12);
    const rows = (values: readonly number[]): number[] => [0, 2].flatMap((r) => values.slice(4 * r, 4 * r + 4));
    const run = async (values: readonly number[], rowMask?: Tensor): Promise<number[][]> => {
      const x = tensor(backend, values, [1, values.length / 4, 4]);
      const { value, grads } = valueAndGrad(new Map([...parameters(layer), ["x", x]]), () => {
        const { output } = layer.forward(x, { rowMask });
        return { loss: sum(mul(add(output, 1), output), [0, 1, 2]), output };
      });
      return Promise.all([value.output, ...grads.values()].map(numbers));
    };
    const alone = await run(rows(given));
    for (const filler of [0, 3, NaN, Infinity]) {
      const filled = given.map((v, i) => (kept[Math.floor(i / 4)] ? v : filler));
      const among = await run(filled, mask(backend, kept, [1, 3]));
      for (const zeros of [among[0], among.at(-1)!]) expect(zeros.slice(4, 8)).toEqual([0, 0, 0, 0]);
      expect([rows(among[0]), ...among.slice(1, -1), rows(among.at(-1)!)]).toEqual(alone);
    }
  });

  test("is packed with the other matrices, but for its gate", async () => {
    const wide = { hiddenSize: 32, moeIntermediateSize: 32, sharedExpertIntermediateSize: 32, sharedExpertGate: true };
    const layer = layerOf(wide);
    const x = normal(backend, 1, [1, 3, 32]);
    const weight = await numbers(linear(x, layer.sharedExpertGate!.weight));
    await packModel(layer, { scheme: "q8_0", activations: "q8" });
    const packed = [...allParameters(layer)].filter(([path]) => !parameters(layer).has(path)).map(([path]) => path);
    expect(packed).toEqual(["experts.gateUpProj", "experts.downProj", "sharedExpert.gateUpProj.weight", "sharedExpert.downProj.weight"]); // prettier-ignore
    const all = layer.sharedExpert!.forward(x);
    const routed = layer.experts.forward(...flat(layer.forward(x).routing, x));
    const expected = add(routed, mul(all, sigmoid(tensor(backend, weight, [1, 3, 1]))));
    expect(await numbers(layer.forward(x).output)).toEqual(await numbers(expected));
    // Where the caller's choice names the gate, its inputs are not rounded for it either.
    layer.sharedExpertGate!.activations = "q8";
    expect(await numbers(layer.forward(x).output)).toEqual(await numbers(expected));
  });

  test("must have a width, and say whether it has a gate", () => {
    expect(() => layerOf({ sharedExpertIntermediateSize: 5 })).toThrow(/MoELayer: sharedExpertGate must be true or false where there is a shared expert, got undefined/); // prettier-ignore
    for (const sharedExpertIntermediateSize of [-1, 2.5, NaN]) {
      const wrong = (): MoELayer => layerOf({ sharedExpertIntermediateSize, sharedExpertGate: true });
      expect(wrong).toThrow(ConfigError);
      expect(wrong).toThrow(`sharedExpertIntermediateSize must be an integer of at least 0, got ${sharedExpertIntermediateSize}`); // prettier-ignore
    }
  });

  test("refuses a row mask of another shape or type", () => {
    const layer = layerOf({ sharedExpertIntermediateSize: 5, sharedExpertGate: false });
    const x = normal(backend, 1, [1, 2, 4]);
    expect(() => layer.forward(x, { rowMask: mask(backend, [1, 1], [2, 1]) })).toThrow(ShapeError);
    expect(() => layer.forward(x, { rowMask: normal(backend, 1, [1, 2]) })).toThrow(DTypeError);
  });
});

function flat({ experts, weights }: { experts: Tensor; weights: Tensor }, x: Tensor): [Tensor, Tensor, Tensor] {
  const [B, T, k] = experts.shape;
  const as = (t: Tensor, width: number): Tensor => reshape(t, [B * T, width]);
  return [as(x, x.shape[2]), as(experts, k), as(weights, k)];
}
