// The mixture against a loop over tokens and their experts in f64, and the laws of masks, permutations and idle experts.
import {
  add, ConfigError, MoELayer, mul, parameters, randomWeights, sum, tensor, TopKRouter, valueAndGrad, weightsFrom, disposeAll, ShapeError,
  type Backend, type Router, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { bits, expectNoLeak, expectWithin, mask, normal, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

interface Sizes {
  readonly D: number;
  readonly I: number;
  readonly E: number;
}
interface Matrices {
  readonly gate: readonly number[];
  readonly gateUp: readonly number[];
  readonly down: readonly number[];
}
const matrices = ({ D, I, E }: Sizes, seed: number): Matrices => ({
  gate: normals(seed, E * D),
  gateUp: normals(seed + 1, E * 2 * I * D, 0.5),
  down: normals(seed + 2, E * D * I, 0.5),
});
function layerOf({ D, I, E }: Sizes, { gate, gateUp, down }: Matrices, router: Router): MoELayer {
  const given: Record<string, readonly number[]> = { "gate.weight": gate, "experts.gateUpProj": gateUp, "experts.downProj": down }; // prettier-ignore
  const w = weightsFrom(backend, (path, shape) => tensor(backend, given[path], shape));
  return new MoELayer(w, { hiddenSize: D, moeIntermediateSize: I, numExperts: E, router });
}
const router = (k: number, normTopkProb = true): TopKRouter => new TopKRouter({ numExpertsPerTok: k, normTopkProb });

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((total, x, i) => total + x * b[i], 0);
const size = (a: readonly number[], b: readonly number[]): number => a.reduce((total, x, i) => total + Math.abs(x * b[i]), 0); // prettier-ignore
const row = (m: readonly number[], i: number, width: number): readonly number[] => m.slice(i * width, (i + 1) * width);

/** One token, expert by expert; beside each output the sum of the sizes of all that was added up for it. */
function token({ D, I, E }: Sizes, m: Matrices, x: readonly number[], k: number, norm: boolean) {
  const z = Array.from({ length: E }, (_, e) => dot(row(m.gate, e, D), x));
  const total = z.reduce((sum, v) => sum + Math.exp(v), 0);
  const order = [...z.keys()].sort((i, j) => z[j] - z[i] || i - j).slice(0, k);
  const chosen = order.reduce((sum, e) => sum + Math.exp(z[e]) / total, 0);
  const [y, magnitude] = [Array<number>(D).fill(0), Array<number>(D).fill(0)];
  for (const e of order) {
    const weight = Math.exp(z[e]) / total / (norm ? chosen : 1);
    const rows = (i: number): readonly number[] => row(m.gateUp, e * 2 * I + i, D);
    const hidden = Array.from({ length: I }, (_, i) => {
      const [g, up] = [dot(rows(i), x), dot(rows(I + i), x)];
      return { value: (g / (1 + Math.exp(-g))) * up, size: size(rows(i), x) * size(rows(I + i), x) };
    });
    for (let d = 0; d < D; d++) {
      const w = row(m.down, e * D + d, I);
      hidden.forEach((h, i) => {
        y[d] += weight * w[i] * h.value;
        magnitude[d] += weight * Math.abs(w[i]) * h.size;
      });
    }
  }
  // Router logits are rounded once (an error of u |gate||x| that softmax passes on), the weights 4 times, gate and up once each (and silu's
  // slope is at most 1.1), the activation, the down product, the weighting and the sum once each: 12 roundings plus the logits'.
  const logit = Math.max(...z.map((_, e) => size(row(m.gate, e, D), x)));
  return { y, bound: magnitude.map((s) => (12 + 4 * logit) * u * s) };
}

const sizes: fc.Arbitrary<Sizes> = fc.record({ D: fc.integer({ min: 1, max: 5 }), I: fc.integer({ min: 1, max: 4 }), E: fc.integer({ min: 1, max: 5 }) }); // prettier-ignore

describe("MoELayer", () => {
  test("is the loop over tokens and experts, k = E included", async () => {
    const drawn = sizes.chain((s) =>
      fc.record({ s: fc.constant(s), k: fc.oneof(fc.constant(s.E), fc.integer({ min: 1, max: s.E })), norm: fc.boolean(), B: fc.integer({ min: 1, max: 2 }), T: fc.integer({ min: 1, max: 3 }), seed: fc.nat() })); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(drawn, async ({ s, k, norm, B, T, seed }) => {
        const m = matrices(s, seed);
        const x = normals(seed + 9, B * T * s.D);
        const { output, routing } = layerOf(s, m, router(k, norm)).forward(tensor(backend, x, [B, T, s.D]));
        expect([output.shape, routing.experts.shape]).toEqual([[B, T, s.D], [B, T, k]]); // prettier-ignore
        const expected = Array.from({ length: B * T }, (_, r) => token(s, m, row(x, r, s.D), k, norm));
        expectWithin(await numbers(output), expected.flatMap(({ y }) => y), expected.flatMap(({ bound }) => bound)); // prettier-ignore
      }),
      { numRuns: 60 },
    );
  });

  const s: Sizes = { D: 5, I: 3, E: 6 };
  const m = matrices(s, 4);

  test("masked rows give 0 and change no bit of the others, whatever they hold", async () => {
    const kept = [1, 0, 1, 1, 0, 0];
    const x = normals(3, 30);
    const layer = layerOf(s, m, router(2));
    const free = await numbers(layer.forward(tensor(backend, x, [2, 3, 5])).output);
    for (const filler of [0, 1e30, NaN]) {
      const filled = x.map((v, i) => (kept[Math.floor(i / 5)] ? v : filler));
      const rowMask = mask(backend, kept, [2, 3]);
      const { output, routing } = layer.forward(tensor(backend, filled, [2, 3, 5]), { rowMask });
      expect(await numbers(output)).toEqual(free.map((v, i) => (kept[Math.floor(i / 5)] ? v : 0)));
      expect((await numbers(routing.experts)).filter((e) => e === -1)).toHaveLength(6);
    }
  });

  test("the gate rounds nothing, even where all other products do", async () => {
    const layer = layerOf(s, m, router(2));
    const x = normal(backend, 6, [1, 3, 5]);
    const exact = await numbers(layer.forward(x).routing.logits);
    layer.experts.activations = "q8";
    layer.gate.activations = "q8";
    expect(await numbers(layer.forward(x).routing.logits)).toEqual(exact);
  });

  test("no token depends on the batch around it", async () => {
    const x = normals(3, 30);
    const layer = layerOf(s, m, router(3));
    const all = await numbers(layer.forward(tensor(backend, x, [2, 3, 5])).output);
    for (let r = 0; r < 6; r++) {
      const alone = await numbers(layer.forward(tensor(backend, row(x, r, 5), [1, 1, 5])).output);
      expect(alone).toEqual(row(all, r, 5));
    }
  });

  test("permuting the experts with the gate's rows changes nothing", async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: 6 }), fc.nat(), async (order, seed) => {
        const moved = (all: readonly number[]): number[] => order.flatMap((e) => row(all, e, all.length / s.E));
        const permuted = { gate: moved(m.gate), gateUp: moved(m.gateUp), down: moved(m.down) };
        const x = normal(backend, seed, [1, 4, 5]);
        const [one, other] = [layerOf(s, m, router(2)), layerOf(s, permuted, router(2))].map((l) => l.forward(x));
        expect(await bits(other.output)).toEqual(await bits(one.output));
        expect((await numbers(other.routing.experts)).map((e) => order[e])).toEqual(await numbers(one.routing.experts));
      }),
      { numRuns: 20 },
    );
  });

  test("an empty slot is an expert whose output is 0", async () => {
    const inner = router(2, false);
    const emptied: Router = {
      rowWise: true,
      route(logits) {
        const routing = inner.route(logits);
        const experts = tensor(backend, [0, -1, 3, -1], [1, 2, 2], "i32");
        return { ...routing, experts };
      },
    };
    const one: Router = { rowWise: true, route: (logits) => ({ ...inner.route(logits), experts: tensor(backend, [0, 5, 3, 5], [1, 2, 2], "i32") }) }; // prettier-ignore
    const silent = { ...m, down: m.down.map((v, i) => (i >= 5 * s.D * s.I ? 0 : v)) };
    const x = normal(backend, 8, [1, 2, 5]);
    const outputs = [layerOf(s, m, emptied), layerOf(s, silent, one)].map((layer) => layer.forward(x).output);
    expect(await numbers(outputs[0])).toEqual(await numbers(outputs[1]));
  });

  test("experts that no token visits get gradients, all 0; the visited ones do not", async () => {
    const layer = layerOf(s, m, router(2));
    const x = normal(backend, 6, [1, 1, 5]);
    const params = parameters(layer);
    let chosen: Tensor | undefined;
    const { grads } = valueAndGrad(params, () => {
      const { output, routing } = layer.forward(x);
      chosen = routing.experts;
      return { loss: sum(mul(output, output), [0, 1, 2]), chosen };
    });
    const visited = await numbers(chosen as Tensor);
    for (const name of ["experts.gateUpProj", "experts.downProj"]) {
      const grad = grads.get(name) as Tensor;
      expect(grad.shape).toEqual(params.get(name)?.shape);
      const all = await numbers(grad);
      for (let e = 0; e < s.E; e++) {
        expect(row(all, e, all.length / s.E).some((g) => g !== 0), `${name} ${e}`).toBe(visited.includes(e)); // prettier-ignore
      }
    }
  });

  test("masked rows send no gradient anywhere", async () => {
    const layer = layerOf(s, m, router(2));
    const params = parameters(layer);
    const x = normals(6, 15);
    const gradients = async (rows: number, rowMask?: Tensor): Promise<number[][]> => {
      const input = tensor(backend, x.slice(0, rows * 5), [1, rows, 5]);
      const { grads } = valueAndGrad(params, () => {
        const { output } = layer.forward(input, { rowMask });
        return sum(mul(add(output, 1), output), [0, 1, 2]);
      });
      return Promise.all([...grads.values()].map(numbers));
    };
    expect(await gradients(3, mask(backend, [1, 1, 0], [1, 3]))).toEqual(await gradients(2));
  });

  test("parameters have the checkpoint's paths; disposeAll frees them", async () => {
    await expectNoLeak(backend, () => {
      const w = randomWeights(backend, 1);
      const layer = new MoELayer(w, { hiddenSize: 4, moeIntermediateSize: 3, numExperts: 2, router: router(1) });
      expect([...parameters(layer)].map(([path, { shape }]) => [path, shape])).toEqual([
        ["gate.weight", [2, 4]],
        ["experts.gateUpProj", [2, 6, 4]],
        ["experts.downProj", [2, 4, 3]],
      ]);
      disposeAll(layer);
    });
  });

  test("refuses no router, k > E, a row mask of another shape", () => {
    const options = { hiddenSize: 4, moeIntermediateSize: 3, numExperts: 2 };
    expect(() => new MoELayer(randomWeights(backend, 1), options as never)).toThrow(ConfigError);
    const x = normal(backend, 1, [1, 2, 4]);
    expect(() => new MoELayer(randomWeights(backend, 1), { ...options, router: router(3) }).forward(x)).toThrow(ConfigError); // prettier-ignore
    for (const size of Object.keys(options))
      for (const value of [0, 1.5, undefined])
        expect(() => new MoELayer(randomWeights(backend, 1), { ...options, router: router(1), [size]: value })).toThrow(ConfigError); // prettier-ignore
    const layer = new MoELayer(randomWeights(backend, 1), { ...options, router: router(2) });
    expect(() => layer.forward(x, { rowMask: mask(backend, [1, 1], [2, 1]) })).toThrow(ShapeError);
    expect(() => layer.forward(normal(backend, 1, [1, 2, 5]))).toThrow(ShapeError);
  });
});
