// The small blocks, the paths of parameters, and where weights come from.
import {
  allParameters, Attention, disposeAll, Embedding, Linear, parameters, Qwen3, randomWeights, RmsNorm, ShapeError, SwigluMlp, tensor,
  TopKRouter, weightsFrom, DecoderBlock, MoELayer, type Backend,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { denseConfig, tinyConfig } from "../models/tiny.js";
import { expectNoLeak, expectWithin, ints, normal, numbers, u, usage } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const given = (data: Record<string, readonly number[]>) =>
  weightsFrom(backend, (path, shape) => tensor(backend, data[path], shape));

describe("Linear", () => {
  const data = { weight: [1, 2, 3, 4, 5, 6], bias: [10, 20] };
  test("is x W^T, plus the bias where there is one", async () => {
    const x = tensor(backend, [1, 0, -1, 0, 2, 0], [1, 2, 3]);
    const plain = new Linear(given(data), { inFeatures: 3, outFeatures: 2 });
    const biased = new Linear(given(data), { inFeatures: 3, outFeatures: 2, bias: true });
    expect(await numbers(plain.forward(x))).toEqual([-2, -2, 4, 10]);
    expect(await numbers(biased.forward(x))).toEqual([8, 18, 14, 30]);
    expect(plain.forward(x).shape).toEqual([1, 2, 2]);
    expect([[...parameters(plain).keys()], [...parameters(biased).keys()]]).toEqual([["weight"], ["weight", "bias"]]);
    expect(() => plain.forward(tensor(backend, [1, 2]))).toThrow(ShapeError);
  });
});

describe("Embedding", () => {
  test("gathers rows, zeros out of range, and serves as the head", async () => {
    const embedding = new Embedding(given({ weight: [1, 2, 3, 4, 5, 6] }), { vocabSize: 3, hiddenSize: 2 });
    const x = embedding.forward(ints(backend, [2, 0, -1, 3], [2, 2]));
    expect(x.shape).toEqual([2, 2, 2]);
    expect(await numbers(x)).toEqual([5, 6, 1, 2, 0, 0, 0, 0]);
    expect(await numbers(embedding.logits(tensor(backend, [1, -1], [1, 1, 2])))).toEqual([-1, -1, -1]);
    expect(await numbers(embedding.logits(tensor(backend, [0, 1], [1, 1, 2])))).toEqual([2, 4, 6]);
  });
});

describe("RmsNorm and SwigluMlp", () => {
  test("x / sqrt(mean(x^2) + eps) * weight, eps inside the root", async () => {
    const norm = new RmsNorm(given({ weight: [1, 2] }), { size: 2, rmsNormEps: 0.5 });
    const r = 1 / Math.sqrt(12.5 + 0.5);
    // Rounded twice at most.
    expectWithin(await numbers(norm.forward(tensor(backend, [3, 4]))), [3 * r, 8 * r], [4 * u, 4 * u]);
  });
  test("down(silu(gate x) * up x): the first half of the rows is the gate", async () => {
    const w = given({ "gateUpProj.weight": [1, 10], "downProj.weight": [2] });
    const mlp = new SwigluMlp(w, { hiddenSize: 1, intermediateSize: 1 });
    const expected = 2 * (3 / (1 + Math.exp(-3))) * 30;
    // gate and up are exact, silu times up and the product are rounded 3 times at most.
    expectWithin(await numbers(mlp.forward(tensor(backend, [3]))), [expected], [3 * u * expected]);
    expect([...parameters(mlp).keys()]).toEqual(["gateUpProj.weight", "downProj.weight"]);
  });
});

describe("parameter paths", () => {
  const attention = ["qkvProj.weight", "oProj.weight", "qNorm.weight", "kNorm.weight"].map(
    (name) => `selfAttn.${name}`,
  );
  const layer = (i: number, mlp: readonly string[], attn = attention): string[] =>
    ["inputLayernorm.weight", ...attn, "postAttentionLayernorm.weight", ...mlp].map((name) => `layers.${i}.${name}`);
  const sparse = ["mlp.gate.weight", "mlp.experts.gateUpProj", "mlp.experts.downProj"];
  const dense = ["mlp.gateUpProj.weight", "mlp.downProj.weight"];
  const biased = attention.flatMap((name) => (name.includes("Proj") ? [name, name.replace("weight", "bias")] : [name]));
  const around = (inner: readonly string[], head = ["lmHead.weight"]) => ["embedTokens.weight", ...inner, "norm.weight", ...head]; // prettier-ignore

  const configs = {
    mixture: [tinyConfig(), around([...layer(0, sparse), ...layer(1, sparse)])],
    "dense layers mixed in": [tinyConfig({ mlpOnlyLayers: [0] }), around([...layer(0, dense), ...layer(1, sparse)])],
    "every second layer sparse": [tinyConfig({ decoderSparseStep: 2 }), around([...layer(0, dense), ...layer(1, sparse)])], // prettier-ignore
    "dense and tied": [denseConfig({ tieWordEmbeddings: true }), around([...layer(0, dense), ...layer(1, dense)], [])],
    biases: [tinyConfig({ attentionBias: true, numHiddenLayers: 1 }), around(layer(0, sparse, biased))],
  } as const;
  test.each(Object.entries(configs))("%s: exactly those of the checkpoint in camelCase", (_, [config, paths]) => {
    const model = new Qwen3(randomWeights(backend, 1), config);
    expect([...parameters(model).keys()].sort()).toEqual([...paths].sort());
    expect([...allParameters(model).keys()]).toEqual([...parameters(model).keys()]);
    disposeAll(model);
  });

  test("shapes: merged matrices are [sum of outs, in], experts [E, out, in]", () => {
    const model = new Qwen3(randomWeights(backend, 1), tinyConfig({ numHiddenLayers: 1, attentionBias: true }));
    const shapes = Object.fromEntries([...parameters(model)].map(([path, { shape }]) => [path, shape]));
    expect(shapes).toMatchObject({
      "embedTokens.weight": [11, 6],
      "layers.0.selfAttn.qkvProj.weight": [(4 + 2 * 2) * 4, 6],
      "layers.0.selfAttn.qkvProj.bias": [32],
      "layers.0.selfAttn.oProj.weight": [6, 16],
      "layers.0.selfAttn.oProj.bias": [6],
      "layers.0.selfAttn.qNorm.weight": [4],
      "layers.0.mlp.gate.weight": [4, 6],
      "layers.0.mlp.experts.gateUpProj": [4, 6, 6],
      "layers.0.mlp.experts.downProj": [4, 6, 3],
      "lmHead.weight": [11, 6],
    });
    disposeAll(model);
  });

  test("disposeAll frees weights and tables of a model that has run, and of blocks put together by hand", async () => {
    await expectNoLeak(backend, () => {
      const model = new Qwen3(randomWeights(backend, 1), tinyConfig());
      model.forward([[1, 2]]).dispose();
      disposeAll(model);
      const w = randomWeights(backend, 2);
      const block = new DecoderBlock(w, {
        hiddenSize: 4,
        rmsNormEps: 1e-6,
        selfAttn: new Attention(w.at("selfAttn"), { hiddenSize: 4, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 2, qkNorm: false, rmsNormEps: 1e-6, rope: { ropeType: "default", ropeTheta: 10 } }), // prettier-ignore
        mlp: new MoELayer(w.at("mlp"), { hiddenSize: 4, moeIntermediateSize: 2, numExperts: 2, router: new TopKRouter({ numExpertsPerTok: 1, normTopkProb: true }) }), // prettier-ignore
      });
      expect([...parameters(block).keys()]).not.toContain("selfAttn.qNorm.weight");
      disposeAll(new Map([["a", [block]]]));
    });
  });

  test("a tensor met twice is listed once; things that are no tensors are passed over; cycles end", () => {
    const x = normal(backend, 1, [2]);
    const model = {
      a: { x },
      b: { x, n: 3, f: () => x, none: undefined, index: ints(backend, [1]) },
      self: {},
      backend,
    };
    model.self = model;
    expect([...parameters(model).keys()]).toEqual(["a.x"]);
    expect([...allParameters(model).keys()]).toEqual(["a.x", "b.index"]);
  });
});

describe("randomWeights", () => {
  test("norms are ones, biases zeros, the rest N(0, range); each depends on seed and path alone", async () => {
    const before = usage(backend)[0];
    const read = async (change: object, seed = 5): Promise<Map<string, number[]>> => {
      const model = new Qwen3(randomWeights(backend, seed, { initializerRange: 0.5 }), tinyConfig(change));
      const all = new Map<string, number[]>();
      for (const [path, x] of parameters(model)) all.set(path, await numbers(x));
      disposeAll(model);
      return all;
    };
    const [one, deeper, other] = [await read({ attentionBias: true }), await read({ numHiddenLayers: 3, attentionBias: true }), await read({ attentionBias: true }, 6)]; // prettier-ignore
    for (const [path, data] of one) {
      expect(deeper.get(path), path).toEqual(data);
      const isNorm = /[nN]orm\.weight$/.test(path);
      if (isNorm) expect(new Set(data)).toEqual(new Set([1]));
      else if (path.endsWith("bias")) expect(new Set(data)).toEqual(new Set([0]));
      else expect(other.get(path), path).not.toEqual(data);
    }
    const embedding = one.get("layers.0.selfAttn.qkvProj.weight") as number[];
    const deviation = Math.sqrt(embedding.reduce((total, v) => total + v * v, 0) / embedding.length);
    // 192 normal numbers: the deviation's own is 0.5 / sqrt(384) = 0.026; five of them.
    expect(Math.abs(deviation - 0.5)).toBeLessThan(0.13);
    expect(usage(backend)[0]).toBe(before);
  });
});
