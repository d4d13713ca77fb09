// Packed matrices go from scheme to scheme, and back to plain numbers, one at a time.
import {
  allParameters, ConfigError, disposeAll, Linear, PackedTensor, Qwen3, randomWeights, ShapeError, tensor, weightsFrom, BackendError,
  type Backend, type Parameter, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { decode, dequantizeModel, packModel, repackModel, schemes, type Scheme } from "qwen-blocks/quant";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { tinyConfig } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";
import { metered } from "./metered.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

const config = tinyConfig({ hiddenSize: 64, headDim: 16, moeIntermediateSize: 64, numExperts: 4, vocabSize: 11 });
const makeModel = (): Qwen3 => new Qwen3(randomWeights(backend, 3), config);
const schemeOf = (weight: Parameter): string | undefined =>
  weight instanceof PackedTensor ? weight.scheme.name : undefined;
const numbersOf = async (model: object): Promise<Map<string, number[]>> =>
  new Map(
    await Promise.all(
      [...allParameters(model)].map(async ([path, weight]) => [path, await numbers(weight as Tensor)] as const),
    ),
  );
const foreign: Scheme = { ...schemes.q4_0, name: "foreign" };

test("any scheme to any other: what the second makes of what the first stands for; then plain again", async () => {
  const some = fc.constantFrom(...Object.values(schemes), foreign);
  await fc.assert(
    fc.asyncProperty(some, some, (from, to) =>
      expectNoLeak(backend, async () => {
        const [model, plain] = [makeModel(), makeModel()];
        const before = await numbersOf(plain);
        await packModel(model, { scheme: from, activations: "q8" });
        await repackModel(model, { scheme: to });
        for (const weight of allParameters(model).values()) expect([undefined, to.name]).toContain(schemeOf(weight));
        expect(model.layers[0].selfAttn.qkvProj.activations).toBe("q8");
        const packed = new Set(
          [...allParameters(model)].filter(([, weight]) => schemeOf(weight)).map(([path]) => path),
        );
        expect(packed.size).toBeGreaterThan(4);
        await dequantizeModel(model);
        expect(model.layers[0].selfAttn.qkvProj.activations).toBe("f32");
        for (const [path, found] of await numbersOf(model)) {
          const { shape } = allParameters(model).get(path)!;
          let expected = Float32Array.from(before.get(path)!);
          for (const by of packed.has(path) ? [from, ...(to.name === from.name ? [] : [to])] : [])
            expected = decode(by, by.encode(expected, shape), shape);
          expect(found, path).toEqual([...expected]);
        }
        disposeAll(model);
        disposeAll(plain);
      }),
    ),
    {
      numRuns: 25,
      examples: [
        [schemes.fp4, schemes.int8],
        [schemes.q4_k, schemes.q4_k],
      ],
    },
  );
});

test("where chooses; what is plain stays plain; what has the scheme already keeps its very tensor", async () => {
  const model = makeModel();
  await packModel(model, { scheme: "fp4", where: (path) => path.startsWith("layers.0") });
  const kept = model.layers[0].selfAttn.oProj.weight;
  await repackModel(model, { scheme: "fp4" });
  expect(model.layers[0].selfAttn.oProj.weight).toBe(kept);
  await repackModel(model, { scheme: "int8", activations: "q8", where: (path) => path.includes("qkvProj") });
  const { qkvProj, oProj } = model.layers[0].selfAttn;
  expect([qkvProj, oProj].map(({ weight, activations }) => [schemeOf(weight), activations])).toEqual([
    ["int8", "q8"],
    ["fp4", "f32"],
  ]);
  expect(schemeOf(model.layers[1].selfAttn.qkvProj.weight)).toBeUndefined();
  await dequantizeModel(model, { where: (path) => path.includes("qkvProj") });
  expect([qkvProj, oProj].map(({ weight }) => schemeOf(weight))).toEqual([undefined, "fp4"]);
  model.forward([[1, 2]]).dispose();
  disposeAll(model);
});

test("a matrix that two blocks share stays shared", async () => {
  await expectNoLeak(backend, async () => {
    const shared = tensor(backend, new Float32Array(64).fill(0.5), [2, 32]);
    const take = () => new Linear(weightsFrom(backend, () => shared), { inFeatures: 32, outFeatures: 2 }); // prettier-ignore
    const pair = [take(), take()];
    await packModel(pair, { scheme: "fp4" });
    await repackModel(pair, { scheme: "int8" });
    expect(pair[1].weight).toBe(pair[0].weight);
    await dequantizeModel(pair);
    expect(pair[1].weight).toBe(pair[0].weight);
    disposeAll(pair);
  });
});

describe("is refused, and nothing has changed:", () => {
  const none = /: where must choose a packed matrix of the model, got none; packModel packs plain ones/;
  const cases: Record<string, readonly [(model: object) => Promise<void>, new () => Error, RegExp]> = {
    "an unknown scheme": [(model) => repackModel(model, { scheme: "q3" }), BackendError, /repackModel: scheme must be/],
    "nothing packed": [(model) => repackModel(model, { scheme: "int8", where: () => false }), ConfigError, none],
    "nothing to decode": [(model) => dequantizeModel(model, { where: () => false }), ConfigError, none],
    "rows that are not of whole blocks": [
      (model) => repackModel(model, { scheme: { ...schemes.q8_0, name: "wide", block: 128 } }),
      ShapeError,
      /repackModel: .* must have rows of whole blocks of 128 for wide, got fp4/,
    ],
  };
  test.each(Object.entries(cases))("%s", async (_, [change, kind, message]) => {
    const model = makeModel();
    await packModel(model, { scheme: "fp4" });
    const before = [...allParameters(model).values()];
    const refused = change(model);
    await expect(refused).rejects.toThrow(kind);
    await expect(refused).rejects.toThrow(message);
    expect([...allParameters(model).values()]).toEqual(before);
    disposeAll(model);
  });
});

test("no more than one matrix is there in f32", async () => {
  const meter = metered(backend);
  const model = new Qwen3(randomWeights(meter.backend, 3), config);
  const largest = Math.max(...[...allParameters(model).values()].map(({ byteLength }) => byteLength));
  await packModel(model, { scheme: "fp4" });
  const before = meter.held;
  meter.peak = before;
  await repackModel(model, { scheme: "int8" });
  const growth = meter.held - before;
  // The matrix in f32 and its codes of 8 bits; the model has grown by then.
  expect(meter.peak - before).toBeLessThan(growth + 1.26 * largest);
  disposeAll(model);
  expect(meter.held).toBe(0);
});
