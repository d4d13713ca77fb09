// Schemes that a backend has no kernels for: dequantize, gatherRows, linear and expertMlp see the numbers that the host decodes, bit for bit.
import {
  dequantize, disposeAll, expertMlp, gatherRows, keep, linear, Linear, PackedTensor, randomWeights, scope, tensor,
  type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { decode, int4, int8, packModel, schemes, type Scheme } from "qwen-blocks/quant";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { sizeOf } from "../../src/core/shape.js";
import { partSpecs } from "../../src/quant/schemes/scheme.js";
import { availableBackends, type AvailableBackend } from "../available-backends.js";
import { metered } from "./metered.js";

const kernels = ["f16", "bf16", "q8_0", "q4_0"];
/** The CPU backend decodes every built-in scheme itself; this one only those that all backends know. */
const plainCpu: AvailableBackend = {
  name: "cpu, by composite",
  async open() {
    const backend = await cpu();
    const listed = Object.fromEntries(kernels.map((name) => [name, "plain"]));
    return { ...backend, features: { ...backend.features, schemes: listed } };
  },
};
const own = [int8({ group: "tensor", affine: true }), int8({ group: 16 }), int4({ group: "row", affine: true })];
const tried = [...Object.values(schemes).filter(({ name }) => !kernels.includes(name)), ...own];

/** Rows of many sizes, some of zeros, one with an outlier. Blocks of 256 are not whole, those of 64 are. */
function drawn(random: Random, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const x = Float32Array.from({ length: sizeOf(shape) }, (_, i) => random.normal() * (i % 5 === 0 ? 3 : 0.1));
  x.fill(0, 64, 128);
  x[7] = -40;
  return x;
}

describe.each([plainCpu, ...availableBackends])("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  function stored(random: Random, scheme: Scheme, shape: readonly number[]): readonly [PackedTensor, Tensor] {
    const words = scheme.encode(drawn(random, shape), shape);
    const specs = partSpecs(scheme, shape);
    const parts = words.map((part, i) => tensor(backend, part as Uint32Array<ArrayBuffer>, specs[i].shape));
    return [new PackedTensor(scheme, shape, "plain", parts), tensor(backend, decode(scheme, words, shape), shape)];
  }

  test.each(tried)("$name", async (scheme) => {
    const random = new Random(9);
    const results = scope(() => {
      const [weight, plain] = stored(random, scheme, [5, 64]);
      const [gateUp, plainGateUp] = stored(random, scheme, [3, 128, 64]);
      const [down, plainDown] = stored(random, scheme, [3, 64, 64]);
      const x = tensor(backend, drawn(random, [4, 64]), [4, 64]);
      const rows = tensor(backend, Int32Array.of(4, 0, -1, 2, 9), [5]);
      const experts = tensor(backend, Int32Array.of(0, 2, 1, -1, 2, 1, 0, 1), [4, 2]);
      const shares = tensor(backend, drawn(random, [4, 2]), [4, 2]);
      const numbers = [
        [dequantize(gateUp), plainGateUp],
        [gatherRows(weight, rows), gatherRows(plain, rows)],
      ];
      // A kernel that reads the scheme itself may sum in another order; the suite of the ops holds it to its bounds.
      const products = (): Tensor[][] => [
        [linear(x, weight), linear(x, plain)],
        [expertMlp(x, gateUp, down, experts, shares), expertMlp(x, plainGateUp, plainDown, experts, shares)],
      ];
      const pairs = scheme.name in backend.features.schemes ? numbers : [...numbers, ...products()];
      return pairs.map((pair) => pair.map(keep));
    });
    for (const [packed, plain] of results) {
      expect(await packed.data()).toEqual(await plain.data());
      packed.dispose();
      plain.dispose();
    }
    expect(backend.memory.usage().buffers).toBe(0);
  });

  test("a matrix whose rows are not of whole blocks is refused by name", async () => {
    const layer = new Linear(randomWeights(backend, 1), { inFeatures: 48, outFeatures: 2 });
    for (const scheme of tried.filter(({ block }) => 48 % block !== 0))
      await expect(packModel(layer, { scheme })).rejects.toThrow(
        `weight must have rows of whole blocks of ${scheme.block} for ${scheme.name}, got f32[2,48]; leave it out by where`,
      );
    disposeAll(layer);
  });
});

test("a large matrix is decoded in runs of rows, so that what lies between stays small beside it", async () => {
  const backend = await plainCpu.open();
  const meter = metered(backend);
  const scheme = int4({ affine: true });
  const shape = [5, 129, 1024]; // two runs and a half
  const words = scheme.encode(drawn(new Random(3), shape), shape);
  const parts = words.map((part) => tensor(meter.backend, part as Uint32Array<ArrayBuffer>));
  const packed = new PackedTensor(scheme, shape, "plain", parts);
  const [before, bytes] = [meter.held, 4 * sizeOf(shape)];
  const decoded = dequantize(packed);
  expect(decoded.shape).toEqual(shape);
  expect(await decoded.data()).toEqual(decode(scheme, words, shape));
  console.log(`decoding took ${((meter.peak - before) / bytes).toFixed(1)} times the memory of its result`);
  // One run takes three dozen tensors of its 2^18 numbers at most; the whole at once would take as many of 2.5 times the size.
  expect(meter.peak - before).toBeLessThan(bytes + 36 * 4 * 2 ** 18);
  decoded.dispose();
  packed.dispose();
  await backend[Symbol.asyncDispose]();
});
