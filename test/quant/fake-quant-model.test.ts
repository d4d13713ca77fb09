// Quantization-aware training: what is trained with is what is packed, to the bit; scales learn by LSQ's gradient; and training in four bits beats
// packing into four bits afterwards.
import {
  allParameters, ConfigError, disposeAll, PackedTensor, parameters, presets, Qwen3, Random, ShapeError, tensor, weightsFrom, type Backend, type Qwen3Config, type Weights,
} from "qwen-blocks"; // prettier-ignore
import { wasm } from "qwen-blocks/wasm";
import {
  dequantizeModel,
  fakeQuantModel,
  int4,
  int8,
  integers,
  packModel,
  type IntegerScheme,
} from "qwen-blocks/quant";
import { AdamW, batchesInOrder, evaluate, sampleBatch, Trainer } from "qwen-blocks/train";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

const config: Qwen3Config = {
  ...presets.toy,
  vocabSize: 16,
  hiddenSize: 16,
  headDim: 8,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  numHiddenLayers: 2,
  numExperts: 4,
  numExpertsPerTok: 2,
  moeIntermediateSize: 16,
  tieWordEmbeddings: true,
};
/** Every position of a window of 16 can be told from the ones before. */
const rhythm = Uint8Array.from({ length: 600 }, (_, i) => ((i * i) % 16) ^ (i % 5));
const dense: Qwen3Config = {
  ...config,
  numHiddenLayers: 1,
  intermediateSize: 32,
  ...{ numExperts: 0, numExpertsPerTok: 0, moeIntermediateSize: 0, normTopkProb: false, routerAuxLossCoef: 0 },
};

const weightsBy = (backend: Backend, seed: number, draw: (random: Random) => number): Weights =>
  weightsFrom(backend, (path, size, init) => {
    const random = new Random(seed).fork(path);
    const count = size.reduce((product, extent) => product * extent, 1);
    const data = Float32Array.from({ length: count }, () => (init === "ones" ? 1 : draw(random)));
    return tensor(backend, data, size);
  });

interface Run {
  readonly seed: number;
  readonly steps: number;
  /** Learning rate, falling to 0. */
  readonly peak: number;
}

async function run(model: Qwen3, { seed, steps, peak }: Run, text = rhythm): Promise<void> {
  const optimizer = new AdamW(parameters(model), { weightDecay: 0 });
  const schedule = (step: number): number => peak * (1 - step / steps);
  const trainer = new Trainer(model, { optimizer, schedule, routerAuxLossCoef: 0, maxGradNorm: 1 });
  const random = new Random(seed);
  const batch = { contextLength: 16, batchSize: 4 };
  for (let i = 0; i < steps; i++) await trainer.step([sampleBatch(text, batch, random)]);
  optimizer.dispose();
}

const logitsOf = async (model: Qwen3): Promise<number[]> => {
  const logits = model.forward([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]); // prettier-ignore
  const read = await numbers(logits);
  logits.dispose();
  return read;
};

const schemes: readonly (readonly [string, IntegerScheme, boolean])[] = [
  ["int4 in groups", int4({ group: 8 }), false],
  ["int4 in groups, scales learn", int4({ group: 8 }), true],
  ["int8 affine by rows", int8({ affine: true }), false],
  ["int3 affine in groups, scales learn", integers({ bits: 3, affine: true, group: 16, scales: "leastSquares" }), true],
  ["int6 in a tensor, scales learn", integers({ bits: 6, group: "tensor" }), true],
];

describe.each(availableBackends)("$name", ({ open }) => {
  test.each(schemes)("%s: after training, packed = as trained, to the bit", async (_, scheme, learnScales) => {
    const backend = await open();
    await expectNoLeak(backend, async () => {
      const model = new Qwen3(livelyWeights(backend, 4), config);
      await fakeQuantModel(model, { scheme, learnScales });
      const scales = [...parameters(model).keys()].filter((path) => path.endsWith("logScale"));
      // Of two layers with experts: attention's two, the experts' two; and the table.
      expect(scales).toHaveLength(learnScales ? 9 : 0);
      const before = await logitsOf(model);
      await run(model, { seed: 1, steps: 1, peak: 1e-2 });
      const trained = await logitsOf(model);
      expect(trained).not.toEqual(before);
      await packModel(model, { scheme });
      expect(model.embedTokens.weight).toBeInstanceOf(PackedTensor);
      // Kernels that read the scheme themselves may sum in another order, so the numbers are compared in plain products.
      await dequantizeModel(model);
      expect(await logitsOf(model)).toEqual(trained);
      const left = [...allParameters(model)].filter(([path]) => path.includes("roundings"));
      expect(left).toEqual([]);
      disposeAll(model);
    });
    await backend[Symbol.asyncDispose]();
  });
});

describe("on one backend", () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await wasm({ threads: 1 });
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("training in four bits loses less than packing into the same format afterwards", async () => {
    // One scale for a matrix, and weights with outliers: what four bits are bad at.
    const outliers = (random: Random): number => 0.1 * random.normal() * (random.uniform() < 0.03 ? 8 : 1);
    const schemes = {
      absmax: int4({ group: "tensor" }),
      leastSquares: int4({ group: "tensor", scales: "leastSquares" }),
    };
    const validation = [...batchesInOrder(rhythm, { contextLength: 16, batchSize: 8 })];
    for (const seed of [1, 2, 3]) {
      const base = new Qwen3(weightsBy(backend, seed, outliers), dense);
      await run(base, { seed, steps: 110, peak: 2e-2 });
      const given = new Map<string, Float32Array<ArrayBuffer>>();
      for (const [path, weight] of parameters(base)) given.set(path, Float32Array.from(await numbers(weight)));
      disposeAll(base);
      const again = (): Qwen3 =>
        new Qwen3(
          weightsFrom(backend, (path, size) => tensor(backend, given.get(path)!, size)),
          dense,
        );
      /** The same further steps for all; then the losses before packing and after. */
      const went = async (change: (model: Qwen3) => Promise<void> | void, pack: IntegerScheme): Promise<number[]> => {
        const model = again();
        await change(model);
        await run(model, { seed: seed + 100, steps: 30, peak: 4e-3 });
        const before = await evaluate(model, validation);
        await packModel(model, { scheme: pack });
        const losses = [before, await evaluate(model, validation)];
        disposeAll(model);
        return losses;
      };
      const [full, simple] = await went(() => {}, schemes.absmax);
      const [, searched] = await went(() => {}, schemes.leastSquares);
      const after = [simple, searched];
      const { absmax: scheme } = schemes;
      const during: number[] = [];
      for (const learnScales of [false, true]) {
        const [before, packed] = await went((model) => fakeQuantModel(model, { scheme, learnScales }), scheme);
        expect(packed).toBe(before);
        during.push(packed);
      }
      const shown = `seed ${seed}: f32 ${full}, packed afterwards ${after.join(", ")}, trained so ${during.join(", ")}`;
      console.log(shown);
      expect(Math.max(...during), shown).toBeLessThan(Math.min(...after));
    }
  });

  test("is refused, and nothing has changed:", async () => {
    const model = new Qwen3(livelyWeights(backend, 4), config);
    const refused = async (
      options: Parameters<typeof fakeQuantModel>[1],
      kind: new (m: string) => Error,
      say: string,
    ) => {
      const run = fakeQuantModel(model, options);
      await expect(run).rejects.toThrow(kind);
      await expect(run).rejects.toThrow(say);
      expect([...allParameters(model)].filter(([path]) => path.includes("roundings"))).toEqual([]);
    };
    const searched = int4({ group: 8, scales: "leastSquares" });
    await refused({ scheme: searched }, ConfigError, "add learnScales: true, or take absmax");
    await refused(
      { scheme: int4({ group: 8 }), where: () => false },
      ConfigError,
      "where must choose a matrix of the model, got none",
    );
    await refused({ scheme: int4() }, ShapeError, "must have rows of whole blocks of 32 for int4");
    await fakeQuantModel(model, { scheme: int8() });
    await refused(
      { scheme: int8() },
      ConfigError,
      "embedTokens.weight must be trained in full so far, got one that is rounded",
    );
    await expect(packModel(model, { scheme: "int8_affine" })).rejects.toThrow(
      "packModel: embedTokens.weight was trained for int8 and must be packed so, got int8_affine; repackModel afterwards",
    );
    await packModel(model, { scheme: "int8" });
    await refused(
      { scheme: int8() },
      ConfigError,
      "embedTokens.weight must be plain, got int8[16,16]; dequantizeModel first",
    );
    disposeAll(model);
    const foreign = { inner: { activations: "f32", weight: tensor(backend, new Float32Array(8), [1, 8]) } };
    await expect(fakeQuantModel(foreign, { scheme: int8() })).rejects.toThrow(
      "fakeQuantModel: inner.weight must belong to a block that reads it by `roundings`, got one without",
    );
    disposeAll(foreign);
  });
});
