// Schemes that wasm reads and does not encode: decoded to the bit as the host decodes them, whatever their words hold, and products as near to
// the cpu backend as f32 allows, the same bits on any number of threads.
import {
  dequantize,
  expertLinear,
  gatherRows,
  linear,
  PackedTensor,
  Random,
  tensor,
  trace,
  type Backend,
  type Shape,
} from "qwen-blocks";
import { schemes, type Scheme } from "qwen-blocks/quant";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, test } from "vitest";
import { roundToQ8 } from "../../src/quant/schemes/q8.js";
import { decode, partSpecs, type Part, type Words } from "../../src/quant/schemes/scheme.js";
import { compare, normals, summed } from "./wasm-beside-cpu.js";

const backends = [await wasm({ build: "simd128", threads: 1 }), await wasm({ threads: 2 })];
afterAll(() => Promise.all(backends.map((backend) => backend[Symbol.asyncDispose]())));

const names =
  "int8,int8_affine,int4,int4_affine,q4_k,q6_k,mxfp4,fp8_e4m3,fp8_e5m2,fp8_e4m3_tile,fp4,nf4,iq4_nl,q4_1,q5_0,q5_1,q5_k".split(
    ",",
  );
const read = names.map((name) => schemes[name]);

function packedOn(backend: Backend, scheme: Scheme, parts: readonly Words[], shape: Shape): PackedTensor {
  const specs = partSpecs(scheme, shape);
  const words = parts.map((part, i) => tensor(backend, part as Uint32Array<ArrayBuffer>, specs[i].shape));
  return new PackedTensor(scheme, shape, "plain", words);
}

/** f32 scales of all kinds, the ordinary ones most often. */
const oddScales = [
  ...[0.01, -0.5, 1, 3.1e-3, 0.7, -1e-3, 2.5, 0.02],
  ...[0, -0, NaN, Infinity, -Infinity, 2 ** -149, -(2 ** -140), 2 ** -126, 1e-30, 3.4028235e38, -1e36, 1e37],
];

/** Any words: every code, every small scale, f16 of all kinds, and bits where a row's numbers have ended. */
function anyWords(random: Random, part: Part, count: number): Words {
  if (part.as === "f32") return Float32Array.from({ length: count }, () => oddScales[random.integer(oddScales.length)]);
  const any = Uint32Array.from({ length: count }, () => random.integer(65536) * 65536 + random.integer(65536));
  if (part.as !== "f16") return any;
  // Mostly ordinary scales, so that codes are seen.
  return any.map((word) => (random.integer(3) === 0 ? word : (word & 0x8bff8bff) | 0x28002400));
}

const anyParts = (random: Random, scheme: Scheme, shape: Shape): Words[] =>
  partSpecs(scheme, shape).map(({ shape: [rows, words] }, i) => anyWords(random, scheme.parts[i], rows * words));

/** The first number with other bits than expected; a NaN is only a NaN. */
function expectBits(what: string, made: Float32Array, right: Float32Array): void {
  expect(made.length, what).toBe(right.length);
  const at = made.findIndex((x, i) => !Object.is(x, right[i]));
  expect(at === -1 ? "" : `${what}: [${at}] is ${made[at]}, must be ${right[at]}`).toBe("");
}

describe.each(backends.map((backend) => ({ name: `${backend.info.build}, ${backend.info.threads}`, backend })))(
  "$name",
  ({ backend }) => {
    test("these schemes are listed, and what is encoded is not", () => {
      expect(Object.keys(backend.features.schemes).sort()).toEqual(
        [...names, ...(backend.features.encodes ?? [])].sort(),
      );
    });

    test.each(read)("$name: any words in rows of any width, experts whose tiles end apart", async (scheme) => {
      const random = new Random(scheme.name.length);
      const widths = [1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 47, 49, 64, 127, 128, 129, 255, 256, 257, 300, 1031];
      const shapes = [...widths.map((width) => [9, width]), [3, 130, 40], [2, 300, 257], [400, 512], [4, 1, 70], [77]];
      for (const shape of shapes) {
        const parts = anyParts(random, scheme, shape);
        using packed = packedOn(backend, scheme, parts, shape);
        using y = dequantize(packed);
        expectBits(`[${shape.join()}]`, (await y.data()) as Float32Array, decode(scheme, parts, shape));
      }
    });

    test.each(read)("$name: gathered rows are those of the table; others are zeros", async (scheme) => {
      const random = new Random(9);
      for (const shape of [
        [40, 3, 37],
        [300, 100],
        [9, 140, 33],
      ]) {
        const parts = anyParts(random, scheme, shape);
        const table = decode(scheme, parts, shape);
        const width = table.length / shape[0];
        const rows = Int32Array.from({ length: 50 }, () => random.integer(shape[0] + 2) - 1);
        const right = new Float32Array(rows.length * width);
        rows.forEach((row, i) => {
          if (row >= 0 && row < shape[0]) right.set(table.subarray(row * width, (row + 1) * width), i * width);
        });
        using packed = packedOn(backend, scheme, parts, shape);
        using y = gatherRows(packed, tensor(backend, rows));
        expectBits(`table [${shape.join()}]`, (await y.data()) as Float32Array, right);
      }
    });

    test.each(read)("$name: a product meets every number of a row, and a kernel computes it", async (scheme) => {
      // One number of x at a time; the weight's are what the host decodes.
      const [out, width] = [5, 70];
      const parts = scheme.encode(normals(new Random(4), out * width), [out, width]);
      const numbers = decode(scheme, parts, [out, width]);
      using packed = packedOn(backend, scheme, parts, [out, width]);
      for (const rows of [1, width]) {
        const lines: string[] = [];
        for (let first = 0; first < width; first += rows) {
          const x = Float32Array.from({ length: rows * width }, (_, i) =>
            Number(i % width === first + Math.floor(i / width)),
          );
          using given = tensor(backend, x, [rows, width]);
          const traced = trace(() => linear(given, packed));
          lines.push(...traced.lines.map(({ op, means }) => `${op} ${means}`));
          using y = traced.result;
          const right = Float32Array.from(
            { length: rows * out },
            (_, i) => numbers[(i % out) * width + first + Math.floor(i / out)] + 0,
          ); // no minus zero
          expectBits(`${rows} rows`, (await y.data()) as Float32Array, right);
        }
        expect(new Set(lines)).toEqual(new Set(["linear native"]));
      }
    });
  },
);

/** Of each output: the sum of the magnitudes of its products. */
function magnitudes(x: Float32Array, w: Float32Array, width: number): Float64Array {
  const [rows, out] = [x.length / width, w.length / width];
  return Float64Array.from({ length: rows * out }, (_, at) => {
    const [r, n] = [Math.floor(at / out) * width, (at % out) * width];
    let sum = 0;
    for (let i = 0; i < width; i++) sum += Math.abs(x[r + i] * w[n + i]);
    return sum;
  });
}

for (const scheme of read) {
  for (const activations of ["f32", "q8"] as const) {
    const name = `${scheme.name}, ${activations}`;
    test(`${name}: linear and expertLinear of few rows and of many`, async () => {
      const random = new Random(7);
      const [E, out, width] = [3, 150, 333];
      const numbers = normals(random, E * out * width);
      const parts = scheme.encode(numbers, [E, out, width]);
      const table = decode(scheme, parts, [E, out, width]);
      for (const rows of [1, 3, 40]) {
        const x = normals(random, rows * width);
        const rounded = activations === "q8" ? roundToQ8(x, rows, width) : x;
        // The products of a block may wait for their scales: three roundings beside those of the sum.
        const experts = Int32Array.from({ length: 2 * rows }, (_, i) => (i % 7 === 5 ? -1 : random.integer(E)));
        const bounds = Array.from({ length: E }, (_, e) =>
          magnitudes(rounded, table.subarray(e * out * width, (e + 1) * out * width), width).map(
            (sum) => sum * (summed(width) + 3),
          ),
        );
        const bySlot = Float64Array.from({ length: 2 * rows * out }, (_, i) => {
          const slot = Math.floor(i / out);
          return experts[slot] < 0 ? 0 : bounds[experts[slot]][Math.floor(slot / 2) * out + (i % out)];
        });
        const first = scheme.encode(numbers.subarray(0, out * width), [out, width]);
        const own = decode(scheme, first, [out, width]);
        await compare({
          name: `${name}, ${rows} rows`,
          run: (b) => {
            const given = tensor(b, x, [rows, width]);
            const stacked = packedOn(b, scheme, parts, [E, out, width]);
            return {
              linear: linear(given, packedOn(b, scheme, first, [out, width]), undefined, { activations }),
              expertLinear: expertLinear(given, stacked, tensor(b, experts, [rows, 2]), { activations }),
            };
          },
          reach: {
            linear: magnitudes(rounded, own, width).map((sum) => sum * (summed(width) + 3)),
            expertLinear: bySlot,
          },
        });
      }
    });
  }
}
