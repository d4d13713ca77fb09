// Matrices are packed in place: which ones, into what, and what is left alone.
import {
  allParameters, BackendError, ConfigError, disposeAll, Linear, PackedTensor, Qwen3, randomWeights, ShapeError, weightsFrom, tensor, dequantize,
  type Backend, type Experts, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { decode, packModel, schemes, type Scheme } from "qwen-blocks/quant";
import { beforeAll, describe, expect, test } from "vitest";
import { tinyConfig } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

/** Widths of whole blocks everywhere. */
const config = tinyConfig({ hiddenSize: 64, headDim: 16, moeIntermediateSize: 64, numExperts: 4, vocabSize: 11 });
const makeModel = (): Qwen3 => new Qwen3(randomWeights(backend, 3), config);
const packedPaths = (model: object): string[] =>
  [...allParameters(model)].filter(([, weight]) => weight instanceof PackedTensor).map(([path]) => path);

/** A scheme that no backend lists. */
const foreign: Scheme = { ...schemes.q4_0, name: "foreign" };

test.each([...Object.values(schemes), foreign])(
  "$name: every matrix but the routers', each as the scheme encodes it",
  async (scheme) => {
    await expectNoLeak(backend, async () => {
      const [model, plain] = [makeModel(), makeModel()];
      await packModel(model, { scheme, activations: "q8" });
      const before = allParameters(plain);
      const matrices = [...before].filter(([path, { shape }]) => shape.length >= 2 && !path.endsWith(".gate.weight"));
      expect(packedPaths(model)).toEqual(matrices.map(([path]) => path));
      for (const [path, weight] of allParameters(model)) {
        const numbersBefore = Float32Array.from(await numbers(before.get(path) as Tensor));
        const { shape } = weight;
        if (weight instanceof PackedTensor) {
          expect(weight.scheme).toBe(scheme);
          const words = scheme.encode(numbersBefore, shape).reduce((count, part) => count + part.length, 0);
          expect(weight.byteLength).toBe(4 * words);
          const read = dequantize(weight);
          expect(await numbers(read), path).toEqual([...decode(scheme, scheme.encode(numbersBefore, shape), shape)]);
          read.dispose();
        } else {
          expect(await numbers(weight), path).toEqual([...numbersBefore]);
          expect(weight.byteLength).toBe(4 * numbersBefore.length);
        }
      }
      const [layer] = model.layers;
      const mlp = layer.mlp as unknown as { experts: Experts; gate: Linear };
      const blocks: readonly { activations: unknown }[] = [layer.selfAttn.qkvProj, mlp.experts, model.embedTokens];
      expect(blocks.map(({ activations }) => activations)).toEqual(["q8", "q8", "q8"]);
      expect(mlp.gate.activations).toBe("f32");
      model.forward([[1, 2, 3]]).dispose();
      disposeAll(model);
      disposeAll(plain);
    });
  },
);

describe("where", () => {
  test("chooses, and may name a router", async () => {
    const model = makeModel();
    await packModel(model, { scheme: "q8_0", where: (path) => path.includes("layers.1.mlp") });
    const paths = ["gate.weight", "experts.gateUpProj", "experts.downProj"].map((name) => `layers.1.mlp.${name}`);
    expect(packedPaths(model)).toEqual(paths);
    model.forward([[1, 2, 3]]).dispose();
    disposeAll(model);
  });

  test("a matrix that two blocks share is packed once, for both", async () => {
    await expectNoLeak(backend, async () => {
      const shared = tensor(backend, new Float32Array(64), [2, 32]);
      const take = () =>
        new Linear(
          weightsFrom(backend, () => shared),
          { inFeatures: 32, outFeatures: 2 },
        );
      const pair = [take(), take()];
      await packModel(pair, { scheme: "q8_0" });
      expect(pair[0].weight).toBeInstanceOf(PackedTensor);
      expect(pair[1].weight).toBe(pair[0].weight);
      disposeAll(pair);
    });
  });
});

describe("is refused, and nothing has changed:", () => {
  const cases = {
    "a scheme that is unknown": [{ scheme: "q3" }, BackendError, /packModel: scheme must be one of f16, .*got q3/],
    "nothing to pack": [{ scheme: "q8_0", where: () => false }, ConfigError, /packModel: where must choose a matrix/],
    "a width that blocks do not divide": [
      { scheme: { ...schemes.q8_0, block: 128 } },
      ShapeError,
      /packModel: .* must have rows of whole blocks of 128 for q8_0, got f32\[.*\]; leave it out by where/,
    ],
  } as const;
  test.each(Object.entries(cases))("%s", async (_, [options, kind, message]) => {
    const model = makeModel();
    const refused = packModel(model, options);
    await expect(refused).rejects.toThrow(kind);
    await expect(refused).rejects.toThrow(message);
    expect(packedPaths(model)).toEqual([]);
    disposeAll(model);
  });

  test("what is packed already", async () => {
    const model = makeModel();
    await packModel(model, { scheme: "q8_0", where: (path) => path.endsWith("downProj") });
    const again = packModel(model, { scheme: "q4_0" });
    await expect(again).rejects.toThrow(/layers\.0\.mlp\.experts\.downProj must be plain, got q8_0/);
    expect(packedPaths(model)).toHaveLength(2);
    disposeAll(model);
  });
});
