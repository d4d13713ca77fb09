// Every call that `--ops` times, once, on the CPU backend: it is the op that its case names, with these operands and attributes.
import { Random, trace, type PackedTensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { decode, schemes } from "qwen-blocks/quant";
import { expect, test } from "vitest";
import { DeviceWeights } from "./device-weights.js";
import { opCases } from "./op-cases.js";
import { sizes } from "./op-sizes.js";

const backend = await cpu();

test.each(opCases(sizes.small))("$name", ({ op, attrs, prepare }) => {
  using weights = new DeviceWeights(backend, 1);
  const [call] = prepare(weights, backend, new Random(1));
  const { lines } = trace(call.run);
  expect(lines[0]).toMatchObject({ op, attrs });
  expect(lines[0].inputs).toEqual(call.inputs.map((input) => input?.toString() ?? "-"));
});

test("a large matrix repeats rows of a small one, also where it is packed", async () => {
  using weights = new DeviceWeights(backend, 1);
  const packed = weights.matrix([3, 200, 64], { scheme: schemes.q4_0 }) as PackedTensor;
  const parts = await Promise.all(packed.parts.map(async (part) => (await part.data()) as Uint32Array<ArrayBuffer>));
  const numbers = decode(schemes.q4_0, parts, packed.shape);
  const rows = new Set(Array.from({ length: 600 }, (_, row) => numbers.subarray(64 * row, 64 * (row + 1)).join()));
  expect(rows.size).toBeGreaterThan(200);
  expect(rows.size).toBeLessThanOrEqual(256);
  const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);
  expect(deviation).toBeCloseTo(1, 1);
});
