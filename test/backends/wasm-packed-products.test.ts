// Products with packed weights on wasm where every number is known exactly: both builds must give the integers, to the last bit.
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import type { Backend } from "../../src/backends/backend.js";
import { wasm, type Build } from "../../src/backends/wasm/index.js";
import { packBits } from "../../src/quant/schemes/bits.js";
import { f32ToF16 } from "../../src/quant/schemes/float-codes.js";
import { partSpecs } from "../../src/quant/schemes/scheme.js";
import { schemes } from "../../src/quant/schemes/schemes.js";
import { expertLinear } from "../../src/ops/expert-linear.js";
import { expertMlp } from "../../src/ops/expert-mlp.js";
import { dequantize } from "../../src/ops/dequantize.js";
import { linear } from "../../src/ops/linear.js";
import { quantize } from "../../src/ops/quantize.js";
import { tensor } from "../../src/tensor/create.js";
import { PackedTensor } from "../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { trace } from "../../src/tensor/trace.js";

/** A weight whose numbers are known: codes at both ends of their range among others, blocks of zeros, scales that are powers of two. */
function knownWeight(random: Random, name: string, rows: number, width: number) {
  const blocks = Math.ceil(width / 32);
  const [low, high] = name.includes("8") ? [-128, 127] : [-8, 7];
  const codes = new Int32Array(rows * width);
  const scales = Float32Array.from({ length: rows * blocks }, () =>
    random.integer(16) === 0 ? 0 : 2 ** (random.integer(4) - 2),
  );
  if (name === "int8") scales.forEach((_, i) => (scales[i] = scales[i - (i % blocks)])); // a row has one
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const kind = random.integer(5);
      for (let i = 32 * block; i < Math.min(32 * block + 32, width); i++) {
        const drawn = low + random.integer(high - low + 1);
        codes[row * width + i] = kind === 0 ? low : kind === 1 ? high : kind === 2 ? 0 : drawn;
      }
    }
  }
  const numbers = codes.map(
    (code, i) => code * scales[Math.floor(i / width) * blocks + Math.floor((i % width) / 32)] * 4,
  );
  return { name, rows, width, codes, scales, quarters: numbers };
}
type Known = ReturnType<typeof knownWeight>;

function upload(backend: Backend, { name, width, codes, scales }: Known, shape: readonly number[]): PackedTensor {
  const scheme = schemes[name];
  const rows = codes.length / Math.max(1, width);
  const [{ bits }] = scheme.parts;
  const stored = packBits(name === "q4_0" ? codes.map((c) => c + 8) : codes, bits, rows, width);
  const blocks = Math.ceil(width / 32);
  const shared =
    name === "int8"
      ? scales.filter((_, i) => i % blocks === 0)
      : packBits(Array.from(scales, f32ToF16), 16, rows, blocks);
  const specs = partSpecs(scheme, shape);
  const parts = [stored, shared].map((words, i) => tensor(backend, words, specs[i].shape));
  return new PackedTensor(scheme, shape, "plain", parts);
}

/** Whole numbers that Q8_0 keeps: each block has 127 or -127, or is all zeros. */
function wholeRows(random: Random, rows: number, width: number): Float32Array {
  const x = new Float32Array(rows * width);
  for (let i = 0; i < x.length; i++) {
    const place = (i % width) % 32;
    const kind = (Math.floor(i / width) + Math.floor((i % width) / 32)) % 5;
    if (kind === 0) continue;
    const end = random.integer(2) === 0 ? 127 : -127;
    x[i] = place === 0 || kind === 1 ? end : random.integer(255) - 127;
  }
  return x;
}

function expected(x: Float32Array, row: number, { quarters, width }: Known, column: number): number {
  let sum = 0;
  for (let i = 0; i < width; i++) sum += x[row * width + i] * quarters[column * width + i];
  return sum / 4;
}

/** What a call gives, and by which means it ran. */
async function traced(call: () => Tensor): Promise<{ readonly lines: readonly string[]; readonly y: Float32Array }> {
  const { result, lines } = trace(call);
  return { lines: lines.map(({ op, means }) => `${op} ${means}`), y: (await result.data()) as Float32Array };
}

const builds: readonly Build[] = ["simd128", "relaxed"];
const opened = await Promise.all(builds.map((build) => wasm({ build, threads: 2 }).catch(() => undefined)));
const backends = opened.filter((backend) => backend !== undefined);

describe.each(backends.map((backend) => ({ backend, build: backend.info.build })))("$build", ({ backend }) => {
  test.each(["q8_0", "q4_0", "int8", "int4"])(
    "linear and expertLinear of %s give whole numbers to the last bit",
    async (name) => {
      const random = new Random(7);
      // Few and many rows; whole blocks, short ones, several chunks of scales, several panels.
      for (const [rows, width, out] of [
        [1, 32, 4],
        [3, 33, 5],
        [8, 127, 9],
        [9, 1, 65],
        [13, 96, 8],
        [2, 1057, 7],
        [300, 65, 71],
      ]) {
        const weight = knownWeight(random, name, out, width);
        const x = wholeRows(random, rows, width);
        const handle = upload(backend, weight, [out, width]);
        const given = tensor(backend, x, [rows, width]);
        const { lines, y } = await traced(() => linear(given, handle, undefined, { activations: "q8" }));
        expect(lines).toEqual(["linear native"]);
        const product = Float32Array.from({ length: rows * out }, (_, i) =>
          expected(x, Math.floor(i / out), weight, i % out),
        );
        expect(y).toEqual(product);

        const stacked = upload(backend, weight, [1, out, width]);
        const experts = tensor(
          backend,
          Int32Array.from({ length: 2 * rows }, (_, i) => (i % 3) - 1),
          [rows, 2],
        );
        const slots = await expertLinear(given, stacked, experts, { activations: "q8" }).data();
        const chosen = Float32Array.from({ length: 2 * rows * out }, (_, i) => {
          const slot = Math.floor(i / out);
          return slot % 3 === 1 ? product[Math.floor(slot / 2) * out + (i % out)] : 0;
        });
        expect(slots).toEqual(chosen);
      }
    },
  );

  test("a block whose scale or whose x is not finite gives NaN, and only to its row", async () => {
    for (const name of ["q8_0", "q4_0", "int8", "int4"]) {
      for (const rows of [2, 20]) {
        const weight = knownWeight(new Random(1), name, 3, 320);
        weight.scales[name === "int8" ? 10 : 13] = NaN; // of the second row
        const x = wholeRows(new Random(2), rows, 320);
        x[5] = Infinity;
        const y = await linear(tensor(backend, x, [rows, 320]), upload(backend, weight, [3, 320]), undefined, {
          activations: "q8",
        }).data();
        for (let i = 0; i < y.length; i++) expect([i, Number.isNaN(y[i])]).toEqual([i, i < 3 || i % 3 === 1]);
      }
    }
  });

  test.each(["f32", "bf16", "f16"])("many rounded rows times %s: the product of what they stand for", async (name) => {
    const random = new Random(3);
    const normals = (...shape: number[]): Tensor =>
      tensor(
        backend,
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
        shape,
      );
    for (const [rows, width, out] of [
      [20, 33, 5],
      [300, 96, 71],
    ]) {
      const [x, bias, numbers] = [normals(rows, width), normals(out), normals(out, width)];
      const weight = name === "f32" ? numbers : quantize(numbers, schemes[name]);
      const { lines, y } = await traced(() => linear(x, weight, bias, { activations: "q8" }));
      expect(lines).toEqual(["linear native"]);
      expect(y).toEqual(await linear(dequantize(quantize(x, schemes.q8_0)), weight, bias).data());
      expect(y).not.toEqual(await linear(x, weight, bias).data());
    }
    const few = await traced(() => linear(normals(9, 40), normals(3, 40), undefined, { activations: "q8" }));
    expect(few.lines).toEqual(["linear native"]);
  });

  test("f16 of all kinds count in products of f32", async () => {
    const halves = [0x3c00, 0x8001, 0x0000, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x8000, 0x3555];
    const values = [1, -(2 ** -24), 0, 1023 * 2 ** -24, 2 ** -14, 65504, -65504, 0, 0.333251953125];
    for (const rows of [1, 20]) {
      for (let i = 0; i < halves.length; i++) {
        const codes = packBits(halves, 16, 1, 9);
        const weight = new PackedTensor(schemes.f16, [1, 9], "plain", [tensor(backend, codes, [1, 5])]);
        const x = Float32Array.from({ length: rows * 9 }, (_, at) => (at % 9 === i ? 3 : 0));
        const y = await linear(tensor(backend, x, [rows, 9]), weight).data();
        expect(y).toEqual(new Float32Array(rows).fill(Math.fround(3 * values[i])));
      }
    }
  });
});

test("the number of threads changes no bit of expertMlp, and no kernel declines it", async () => {
  const random = new Random(5);
  const [E, D, I, k] = [3, 96, 80, 2];
  await using one = await wasm({ threads: 1 });
  await using three = await wasm({ threads: 3 });
  for (const names of [
    ["q4_0", "q8_0"],
    ["bf16", "q4_0"],
    ["f16", "bf16"],
    ["q4_k", "fp8_e4m3_tile"],
    ["int8", "q6_k"],
    ["mxfp4", "int4"],
  ]) {
    const gateUp = schemes[names[0]].encode(
      Float32Array.from({ length: E * 2 * I * D }, () => random.normal()),
      [E, 2 * I, D],
    );
    const down = schemes[names[1]].encode(
      Float32Array.from({ length: E * D * I }, () => random.normal()),
      [E, D, I],
    );
    for (const activations of ["f32", "q8"] as const) {
      for (const rows of [1, 90]) {
        const x = Float32Array.from({ length: rows * D }, () => random.normal());
        const experts = Int32Array.from({ length: rows * k }, () => random.integer(E + 1) - 1);
        const results: Float32Array[] = [];
        for (const backend of [one, three]) {
          const packed = (
            name: string,
            words: readonly (Float32Array | Uint32Array)[],
            shape: readonly number[],
          ): PackedTensor =>
            new PackedTensor(
              schemes[name],
              shape,
              "plain",
              words.map((part, i) => tensor(backend, part, partSpecs(schemes[name], shape)[i].shape)),
            );
          const weights = tensor(backend, new Float32Array(rows * k).fill(0.5), [rows, k]);
          const { lines, y } = await traced(() =>
            expertMlp(
              tensor(backend, x, [rows, D]),
              packed(names[0], gateUp, [E, 2 * I, D]),
              packed(names[1], down, [E, D, I]),
              tensor(backend, experts, [rows, k]),
              weights,
              { activations },
            ),
          );
          expect(lines).toEqual(["expertMlp native"]);
          results.push(y);
        }
        expect(results[1]).toEqual(results[0]);
      }
    }
  }
});
