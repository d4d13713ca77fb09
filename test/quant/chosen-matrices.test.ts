// What `where` leaves out stays as it was: matrices that other blocks share, how blocks round their inputs, and routers.
import {
  ConfigError, disposeAll, Linear, Qwen3, randomWeights, scope, setActivations, tensor, type Backend, type Experts,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import {
  calibrate, decode, dequantizeModel, fakeQuant, fakeQuantModel, int4, int8, packModel, repackModel, schemes,
} from "qwen-blocks/quant"; // prettier-ignore
import { beforeAll, describe, expect, test } from "vitest";
import { tinyConfig } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

const config = tinyConfig({ hiddenSize: 64, headDim: 16, moeIntermediateSize: 64, numExperts: 4, vocabSize: 11 });
const makeModel = (): Qwen3 => new Qwen3(randomWeights(backend, 3), config);
const onlyA = (path: string): boolean => path.startsWith("a.");

/** Two blocks of one matrix. */
function shared(): { readonly a: Linear; readonly b: Linear } {
  const [a, b] = [1, 2].map((seed) => new Linear(randomWeights(backend, seed), { inFeatures: 64, outFeatures: 8 }));
  b.weight.dispose();
  b.weight = a.weight;
  return { a, b };
}

describe("a matrix that two blocks share, one of which is chosen", () => {
  type Change = (model: object) => Promise<void>;
  const nothing: Change = async () => {};
  const inInt8: Change = (model) => packModel(model, { scheme: "int8" });
  const learning: Change = (model) => fakeQuantModel(model, { scheme: int4(), learnScales: true });
  /** What is done to both, and then to one. */
  const changes: Readonly<Record<string, readonly [Change, Change]>> = {
    packModel: [nothing, (model) => packModel(model, { scheme: "int8", where: onlyA })],
    "packModel after training with scales that learn": [
      learning,
      (model) => packModel(model, { scheme: "int4", where: onlyA }),
    ],
    repackModel: [inInt8, (model) => repackModel(model, { scheme: "q4_0", where: onlyA })],
    dequantizeModel: [inInt8, (model) => dequantizeModel(model, { where: onlyA })],
  };
  test.each(Object.entries(changes))("%s: the other computes what it did", (_, [both, one]) =>
    expectNoLeak(backend, async () => {
      const [model, whole] = [shared(), shared()];
      for (const each of [model, whole]) await both(each);
      await one(model);
      using x = tensor(backend, Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)), [1, 64]); // prettier-ignore
      using found = scope(() => model.b.forward(x));
      using expected = scope(() => whole.b.forward(x));
      expect(await numbers(found)).toEqual(await numbers(expected));
      expect(model.a.weight).not.toBe(model.b.weight);
      for (const each of [model, whole]) disposeAll(each);
    }),
  );
});

describe("rounded inputs of a block of which a packed matrix stays", () => {
  const expertsOf = (model: Qwen3): Experts => (model.layers[0].mlp as never as { experts: Experts }).experts;
  test("dequantizeModel of the other", async () => {
    const model = makeModel();
    await packModel(model, { scheme: "q8_0", activations: "q8" });
    await dequantizeModel(model, { where: (path) => path.endsWith("gateUpProj") });
    expect(expertsOf(model).activations).toBe("q8");
    await dequantizeModel(model);
    expect(expertsOf(model).activations).toBe("f32");
    disposeAll(model);
  });

  test("packModel of the other, unless it asks for another", async () => {
    const model = makeModel();
    await packModel(model, { scheme: "q8_0", activations: "q8", where: (path) => path.endsWith("gateUpProj") });
    await packModel(model, { scheme: "q4_0", where: (path) => path.endsWith("0.mlp.experts.downProj") });
    expect(expertsOf(model).activations).toBe("q8");
    await repackModel(model, { scheme: "q4_0", activations: "f32" });
    expect(expertsOf(model).activations).toBe("f32");
    disposeAll(model);
  });
});

test("setActivations leaves packed routers alone, as packModel does", async () => {
  const model = makeModel();
  await packModel(model, { scheme: "q8_0", where: () => true });
  setActivations(model, "q8");
  expect((model.layers[0].mlp as never as { gate: Linear }).gate.activations).toBe("f32");
  expect(model.layers[0].selfAttn.qkvProj.activations).toBe("q8");
  disposeAll(model);
});

test("what would be left out in silence is refused: calibrating rounded matrices, searching for scales in each step", async () => {
  const model = makeModel();
  await fakeQuantModel(model, { scheme: int4() });
  const calibrated = calibrate(model, [[[1, 2, 3]]]);
  await expect(calibrated).rejects.toThrow(ConfigError);
  await expect(calibrated).rejects.toThrow(
    "calibrate: embedTokens.weight must be read as it is, got one that fakeQuantModel rounds",
  );
  disposeAll(model);
  using x = tensor(backend, Float32Array.of(1, 2), [1, 2]);
  expect(() => fakeQuant(x, int8({ scales: "leastSquares" }))).toThrow(
    "fakeQuant: scales by least squares must be given",
  );
});

test.each(["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "int4", "fp4"])(
  "%s: NaN scales have one pattern of bits",
  (name) => {
    const x = new Float32Array(32).fill(1);
    for (const bits of [0x7fc00000, 0xffc00000, 0x7f800001, 0xff800000]) {
      new Uint32Array(x.buffer)[3] = bits;
      const [, scales] = schemes[name].encode(x, [1, 32]);
      if (bits !== 0xff800000 || !name.startsWith("q")) expect(scales[0] & 0xffff).toBe(0x7e00);
      expect(decode(schemes[name], schemes[name].encode(x, [1, 32]), [1, 32]).some(Number.isNaN)).toBe(true);
    }
  },
);

test.each(["q4_1", "q5_1"])("%s: the offset of a least number -0 is 0, as the gguf package has it", (name) => {
  const x = new Float32Array(32).fill(3);
  x[5] = -0;
  expect([...schemes[name].encode(x, [1, 32])[2]]).toEqual([0]);
});
