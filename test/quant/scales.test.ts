// Scales by least squares: never a greater (weighted) sum of squared errors than the simple rule leaves, on any group; a good deal less where
// outliers or one-sided importances make room; and the simple rule's own answer where there is nothing to search for.
import { BackendError, dequantize, disposeAll, Linear, quantize, randomWeights, Tensor, type Backend, type PackedTensor } from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import {
  fp4,
  fp8,
  int4,
  int8,
  integers,
  mxfp4LeastSquares,
  nf4,
  packModel,
  schemes,
  type Scales,
  type Scheme,
} from "qwen-blocks/quant";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { availableBackends } from "../available-backends.js";
import { numbers } from "../tensor/numbers.js";
import { decode } from "../../src/quant/schemes/scheme.js";

type Make = (scales: Scales) => Scheme;
/** Each with the shape of a few of its groups. */
const makers: Readonly<Record<string, readonly [Make, shape: readonly number[]]>> = {
  int8: [(scales) => int8({ scales }), [3, 40]],
  int8_affine: [(scales) => int8({ scales, affine: true }), [3, 40]],
  int8_tensor: [(scales) => int8({ scales, group: "tensor" }), [3, 40]],
  int4: [(scales) => int4({ scales }), [2, 96]],
  int4_affine: [(scales) => int4({ scales, affine: true }), [2, 96]],
  int4_row: [(scales) => int4({ scales, group: "row" }), [2, 300]],
  int2: [(scales) => integers({ scales, bits: 2, group: 16 }), [2, 64]],
  int3_affine: [(scales) => integers({ scales, bits: 3, affine: true }), [2, 64]],
  fp4: [(scales) => fp4({ scales }), [2, 96]],
  nf4: [(scales) => nf4({ scales }), [2, 128]],
  mxfp4: [(scales) => (scales === "absmax" ? schemes.mxfp4 : mxfp4LeastSquares), [2, 96]],
  fp8_e4m3: [(scales) => fp8({ scales }), [3, 40]],
  fp8_e5m2_tile: [(scales) => fp8({ scales, format: "e5m2", per: "tile", tile: [2, 20] }), [2, 3, 40]],
};
const cases = Object.entries(makers).map(([name, [make, shape]]) => [name, make, shape] as const);
const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);

/** Which group each number belongs to. */
function groupsOf({ parts, block, tile }: Scheme, shape: readonly number[]): (i: number) => string {
  const { per } = parts[parts.length - 1];
  const [width, height] = [shape[shape.length - 1], shape[shape.length - 2]];
  return (i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    if (per === "tensor") return "all";
    if (per === "row") return `${row}`;
    if (per === "block") return `${row},${Math.floor(column / block)}`;
    const [tall, wide] = tile ?? [1, 1];
    return `${Math.floor(row / height)},${Math.floor((row % height) / tall)},${Math.floor(column / wide)}`;
  };
}

/** The weighted sum of squared errors of each group. */
function errors(
  scheme: Scheme,
  x: Float32Array,
  shape: readonly number[],
  importance?: Float32Array,
): Map<string, number> {
  const y = decode(scheme, scheme.encode(x, shape, importance), shape);
  const groupOf = groupsOf(scheme, shape);
  const sums = new Map<string, number>();
  x.forEach((value, i) => {
    const error = (importance?.[i % importance.length] ?? 1) * (y[i] - value) ** 2;
    sums.set(groupOf(i), (sums.get(groupOf(i)) ?? 0) + error);
  });
  return sums;
}

/** Bell-shaped, with outliers, one-sided, sparse, tiny or large. */
const drawn = (count: number): fc.Arbitrary<Float32Array> =>
  fc
    .record({
      seed: fc.nat(),
      outliers: fc.constantFrom(0, 0.05, 0.3),
      zeros: fc.constantFrom(0, 0.5),
      shift: fc.constantFrom(0, 0, 2),
      size: fc.constantFrom(1, 1e-3, 1e-6, 100),
    })
    .map(({ seed, outliers, zeros, shift, size }) => {
      const random = new Random(seed);
      return Float32Array.from({ length: count }, () => {
        const one = (random.normal() + shift) * (random.uniform() < outliers ? 20 : 1);
        return random.uniform() < zeros ? 0 : size * one;
      });
    });

describe.each(cases)("%s", (_, make, shape) => {
  const [simple, searched] = [make("absmax"), make("leastSquares")];
  const width = shape[shape.length - 1];

  test("has the same name and parts, so that whoever reads the one reads the other", () => {
    expect([searched.name, searched.parts, searched.block, searched.tile]).toEqual([simple.name, simple.parts, simple.block, simple.tile]); // prettier-ignore
    expect([simple.scales, searched.scales]).toEqual([undefined, "leastSquares"]);
  });

  test("no group has a greater squared error than by the simple rule, with importances or without", () => {
    const importances = fc.option(fc.array(fc.constantFrom(0, 1e-3, 1, 1, 50), { minLength: width, maxLength: width }), { nil: undefined }); // prettier-ignore
    let [before, after] = [0, 0];
    fc.assert(
      fc.property(drawn(sizeOf(shape)), importances, (x, drawnImportance) => {
        const importance = drawnImportance && Float32Array.from(drawnImportance);
        const usual = errors(simple, x, shape, importance);
        for (const [group, error] of errors(searched, x, shape, importance)) {
          const most = usual.get(group) as number;
          // The same sums in the same order; what is left is the last bit of a f64.
          expect(error).toBeLessThanOrEqual(most * (1 + 2 ** -40));
          if (most > 0) [before, after] = [before + 1, after + error / most];
        }
      }),
      { numRuns: 60 },
    );
    // On the whole it must have been worth it; a coded float is as good under most scales.
    expect(after / before).toBeLessThan(0.97);
  });

  test("the importances of a stack are its matrices' own", () => {
    const random = new Random(5);
    const two = [2, 4, width];
    const x = Float32Array.from({ length: 8 * width }, () => random.normal());
    const [first, second] = [1, 2].map((power) =>
      Float32Array.from({ length: width }, () => random.uniform() ** (4 * power)),
    );
    const stacked = searched.encode(x, two, Float32Array.of(...first, ...second));
    if (searched.parts.some(({ per }) => per === "tensor")) return;
    const apart = [first, second].map((importance, e) =>
      decode(searched, searched.encode(x.slice(4 * e * width, 4 * (e + 1) * width), [4, width], importance), [
        4,
        width,
      ]),
    );
    expect([...decode(searched, stacked, two)]).toEqual(apart.flatMap((numbers) => [...numbers]));
    const uniform = searched.encode(x, two);
    expect(searched.encode(x, two, new Float32Array(width).fill(3))).toEqual(uniform);
    expect(searched.encode(x, two, new Float32Array(2 * width))).toEqual(uniform);
  });

  test("zeros, single numbers, NaN, infinities and subnormals come out as by the simple rule", () => {
    for (const special of [0, -0, 5, NaN, Infinity, -Infinity, 2 ** -149, 2 ** -140, -(2 ** -127)]) {
      const x = new Float32Array(sizeOf(shape));
      x[1] = special;
      const numbers = [simple, searched].map((scheme) => decode(scheme, scheme.encode(x, shape), shape));
      const exact = Math.abs(numbers[0][1] - special) === 0;
      if (exact || !Number.isFinite(special)) expect([...numbers[1]]).toEqual([...numbers[0]]);
      else expect(Math.abs(numbers[1][1] - special)).toBeLessThanOrEqual(Math.abs(numbers[0][1] - special));
    }
  });
});

describe.each(["q4_k", "q5_k", "q6_k", "iq4_nl"])("%s weighs by importances as well:", (name) => {
  const scheme = schemes[name];
  test("what counts more lies nearer", () => {
    const random = new Random(2);
    const shape = [8, 512];
    const x = Float32Array.from({ length: 8 * 512 }, () => random.normal());
    const importance = Float32Array.from({ length: 512 }, (_, i) => (i % 4 === 0 ? 100 : 1));
    const weighed = (given?: Float32Array): number => {
      const y = decode(scheme, scheme.encode(x, shape, given), shape);
      return x.reduce((sum, value, i) => sum + importance[i % 512] * (y[i] - value) ** 2, 0);
    };
    // A quarter of the numbers has nearly all the weight. Less codes to spread, less to gain.
    expect(weighed(importance)).toBeLessThan((name === "q6_k" ? 0.97 : 0.9) * weighed());
    expect(scheme.encode(x, shape, new Float32Array(512).fill(2))).toEqual(scheme.encode(x, shape));
  });
});

describe("packModel", () => {
  const scheme = int4({ scales: "leastSquares" });
  const linear = (backend: Backend): Linear =>
    new Linear(randomWeights(backend, 4), { inFeatures: 64, outFeatures: 8 });

  test.each(availableBackends)("$name: hands importances to the encoder", async ({ open }) => {
    const backend = await open();
    const model = { first: linear(backend), second: linear(backend) };
    const before = (await (model.first.weight as Tensor).data()) as Float32Array;
    const importance = Float32Array.from({ length: 64 }, (_, i) => (i % 8 === 0 ? 1 : 0.01));
    await packModel(model, { scheme, importance: new Map([["first.weight", importance]]) });
    for (const [block, weights] of [
      [model.first, importance],
      [model.second, undefined],
    ] as const) {
      // prettier-ignore
      const read = dequantize(block.weight as PackedTensor);
      expect(await numbers(read)).toEqual([...decode(scheme, scheme.encode(before, [8, 64], weights), [8, 64])]);
      read.dispose();
    }
    disposeAll(model);
    await backend[Symbol.asyncDispose]();
  });

  test("refuses importances that would not count, or do not fit, and quantize the search", async () => {
    const backend = await cpu();
    const model = { first: linear(backend), second: linear(backend) };
    const importance = new Map([["second.weight", new Float32Array(63)]]);
    await expect(packModel(model, { scheme: "int4", importance })).rejects.toThrow(
      'packModel: importance needs a scheme that searches for its scales, got int4; make it with scales: "leastSquares"',
    );
    await expect(packModel(model, { scheme, importance })).rejects.toThrow(
      "packModel: second.weight: importance must hold one number per column of [8,64], or of each of its matrices, got 63",
    );
    expect(model.first.weight).toBeInstanceOf(Tensor);
    const listed = { ...scheme, name: "q4_0" };
    expect(() => quantize(model.first.weight as Tensor, listed)).toThrow(BackendError);
    disposeAll(model);
  });
});

test("importances that fit no matrix, or are no weights, are refused", () => {
  const scheme = int4({ scales: "leastSquares" });
  const x = new Float32Array(128);
  expect(() => scheme.encode(x, [2, 2, 32], new Float32Array(33))).toThrow(
    "int4: importance must hold one number per column of [2,2,32], or of each of its matrices, got 33",
  );
  for (const bad of [NaN, Infinity, -1])
    expect(() => scheme.encode(x, [4, 32], new Float32Array(32).fill(bad, 7))).toThrow(
      `importance must be finite and not negative, got ${bad} at 7`,
    );
});

test.each([0, 1, 9, 2.5, NaN])("integers of %d bits are refused", (bits) => {
  expect(() => integers({ bits })).toThrow(`integers: bits must be an integer from 2 to 8, got ${bits}`);
});
