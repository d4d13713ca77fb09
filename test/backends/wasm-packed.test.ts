// The wasm backend's packed rows against the schemes' own encoders and decoder, bit by bit: every code, numbers at the edges between codes, and
// numbers that are none. A NaN is only a NaN: devices are free in its bits.
import {
  appendKV,
  dequantize,
  gatherRows,
  PackedTensor,
  quantize,
  Random,
  tensor,
  type Backend,
  type Shape,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { schemes, type Scheme } from "qwen-blocks/quant";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, test } from "vitest";
import { packBits } from "../../src/quant/schemes/bits.js";
import { decode, partSpecs, type Words } from "../../src/quant/schemes/scheme.js";

const backends = [await wasm({ build: "simd128", threads: 1 }), await wasm({ threads: 2 })];
const specification = await cpu();
afterAll(() => Promise.all([specification, ...backends].map((backend) => backend[Symbol.asyncDispose]())));

const bitsOf = (x: Float32Array): Uint32Array => new Uint32Array(x.buffer, x.byteOffset, x.length);

/** The first number with other bits than expected. */
function expectBits(what: string, made: Float32Array, expected: Float32Array): void {
  expect(made.length, what).toBe(expected.length);
  const [a, b] = [bitsOf(made), bitsOf(expected)];
  const at = a.findIndex((word, i) => word !== b[i] && !(Number.isNaN(made[i]) && Number.isNaN(expected[i])));
  expect(at === -1 ? "" : `${what}: [${at}] is ${made[at]}, must be ${expected[at]}`).toBe("");
}

const floatsOf = async (x: Tensor): Promise<Float32Array> => (await x.data()) as Float32Array;

function packedOn(backend: Backend, scheme: Scheme, parts: readonly Words[], shape: Shape): PackedTensor {
  const specs = partSpecs(scheme, shape);
  return new PackedTensor(
    scheme,
    shape,
    "plain",
    parts.map((words, i) => tensor(backend, words as Uint32Array<ArrayBuffer>, specs[i].shape)),
  );
}

/** Decoding on the device is what the host decodes. */
async function expectDecoded(
  what: string,
  backend: Backend,
  scheme: Scheme,
  parts: Words[],
  shape: Shape,
): Promise<void> {
  using packed = packedOn(backend, scheme, parts, shape);
  using y = dequantize(packed);
  expectBits(what, await floatsOf(y), decode(scheme, parts, shape));
}

const isNaN16 = (code: number): boolean => (code & 0x7fff) > 0x7c00;
/** Of a scale: JavaScript does not say which sign the NaN has that the host encodes. */
const sameScales = (a: number, b: number): boolean =>
  [0, 16].every((shift) => {
    const [x, y] = [a, b].map((word) => (word >>> shift) & 0xffff);
    return x === y || (isNaN16(x) && isNaN16(y));
  });

/** Encoding on the device gives the very words of the host. */
async function expectEncoded(
  what: string,
  backend: Backend,
  scheme: Scheme,
  x: Float32Array<ArrayBuffer>,
  shape: Shape,
): Promise<void> {
  using given = tensor(backend, x, shape);
  using packed = quantize(given, scheme);
  const expected = scheme.encode(x, shape);
  for (const [i, part] of packed.parts.entries()) {
    const made = await part.data();
    const same = scheme.parts[i].role === "scale" ? sameScales : Object.is;
    const at = made.findIndex((word, j) => !same(word, expected[i][j]));
    const [is, must] = [made[at], expected[i][at]].map((word) => `0x${word?.toString(16)}`);
    expect(at === -1 ? "" : `${what}: part ${i}, word ${at} is ${is}, must be ${must}`).toBe("");
  }
}

/** Every finite f16 scale, infinities and NaN, and codes of every kind under each. */
const everyF16 = Uint16Array.from({ length: 65536 }, (_, code) => code);
const wordsOf = (bytes: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => new Uint32Array(bytes.buffer);

/** Numbers of ordinary size, whole blocks of zeros, halves between codes and the numbers before them, and numbers so small or large that scales leave their range. */
function drawn(random: Random, shape: Shape): Float32Array<ArrayBuffer> {
  const x = new Float32Array(shape.reduce((product, extent) => product * extent, 1));
  for (let from = 0; from < x.length; from += 8) {
    const kind = random.integer(8);
    const size = 2 ** (random.integer(60) - 40);
    for (let i = from; i < Math.min(from + 8, x.length); i++) {
      if (kind === 0) x[i] = random.integer(2) === 0 ? 0 : -0;
      else if (kind < 3)
        x[i] =
          i % 4 === 0 ? (kind === 1 ? 127 : -8) : ((random.integer(17) - 8) / 2) * (1 - random.integer(2) * 2 ** -24);
      else x[i] = random.normal() * (kind === 3 ? size : 1);
    }
  }
  return x;
}

const special = [
  NaN,
  Infinity,
  -Infinity,
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  2 ** -126,
  2 ** -133,
  3.4028235e38,
  -3.4028235e38,
];
/** Magnitudes at which f16, or the scale of a block, goes from one kind of number to another. */
const edges = [
  65504,
  65519.996,
  65520,
  2 ** -14,
  2 ** -24,
  2 ** -25,
  2.9802325e-8,
  2 ** -25 * 3,
  6.1e-5,
  2049,
  2051,
  1e-40,
  2 ** -128,
];

/** Blocks in which one number, or several, are of a special kind: at the front, in the middle, at the end. */
function spoiled(random: Random): Float32Array<ArrayBuffer> {
  const kinds = [
    ...special,
    ...edges,
    ...edges.map((x) => -x),
    ...edges.map((x) => x * 127),
    ...edges.map((x) => x * 8),
  ];
  const x = new Float32Array(32 * 8 * kinds.length);
  kinds.forEach((kind, k) => {
    for (let variant = 0; variant < 8; variant++) {
      const at = 32 * (8 * k + variant);
      const size = variant < 4 ? 0 : Math.abs(kind) <= 1e38 ? kind / 2 : 1;
      for (let i = 0; i < 32; i++) x[at + i] = size * (random.integer(3) - 1);
      x[at + [0, 13, 31, 17][variant % 4]] = kind;
      if (variant % 4 === 3) x[at + 20] = -kind; // of equal extremes the first counts
    }
  });
  return x;
}

describe.each(backends.map((backend) => ({ name: `${backend.info.build}, ${backend.info.threads}`, backend })))(
  "$name",
  ({ backend }) => {
    test.each(["f16", "bf16"])(
      "every code of %s decodes, and the numbers between them are rounded as the scheme says",
      async (name) => {
        const scheme = schemes[name];
        for (const width of [65536, 8, 1, 2, 3, 5, 7, 13]) {
          const rows = Math.floor(65536 / width);
          const codes = packBits(everyF16, 16, rows, width);
          await expectDecoded(`width ${width}`, backend, scheme, [codes], [rows, width]);
        }
        // Each code's number, its neighbours in f32, and what lies halfway to the next code.
        const numbers = decode(scheme, [packBits(everyF16, 16, 1, 65536)], [65536]);
        const half = name === "f16" ? 0x1000 : 0x8000;
        const moves = [0, 1, -1, half, half - 1, half + 1];
        const x = new Float32Array(65536 * moves.length);
        bitsOf(x).set(Array.from(bitsOf(numbers)).flatMap((word) => moves.map((move) => word + move)));
        await expectEncoded(name, backend, scheme, x, [x.length]);
      },
    );

    test("q8_0: every code, -128 too, under every scale", async () => {
      const codes = wordsOf(Uint8Array.from({ length: 32 * 65536 }, (_, i) => i + (i >> 5)));
      await expectDecoded("q8_0", backend, schemes.q8_0, [codes, packBits(everyF16, 16, 1, 65536)], [32 * 65536]);
    });

    test("q4_0: every code under every scale", async () => {
      const codes = wordsOf(Uint8Array.from({ length: 16 * 65536 }, (_, i) => i + (i >> 4)));
      await expectDecoded("q4_0", backend, schemes.q4_0, [codes, packBits(everyF16, 16, 1, 65536)], [32 * 65536]);
    });

    const encoded = (backend.features.encodes ?? []).map((name) => schemes[name]);
    describe.each(encoded)("$name", (scheme) => {
      test("rows of any width are encoded and decoded as on the host", async () => {
        const random = new Random(scheme.name.length);
        for (const width of [
          1, 2, 3, 4, 5, 7, 8, 15, 31, 32, 33, 36, 63, 64, 65, 70, 95, 128, 129, 2047, 2048, 2049, 5003,
        ]) {
          const shape = [7, width];
          const x = drawn(random, shape);
          await expectEncoded(`width ${width}`, backend, scheme, x, shape);
          await expectDecoded(`width ${width}`, backend, scheme, [...scheme.encode(x, shape)], shape);
        }
      });

      test("NaN, infinities, and numbers whose scales leave their range", async () => {
        const x = spoiled(new Random(5));
        for (const width of [32, 64, 16, 11]) {
          const rows = Math.floor(x.length / width);
          const shape = [rows, width];
          await expectEncoded(`width ${width}`, backend, scheme, x.slice(0, rows * width), shape);
        }
        await expectDecoded("decoded", backend, scheme, [...scheme.encode(x, [x.length])], [x.length]);
      });

      test("gathered rows are those of the table; others are zeros", async () => {
        const random = new Random(9);
        for (const shape of [
          [40, 3, 37],
          [40, 128],
          [5, 1, 1],
          [9, 2, 100],
        ]) {
          const parts = [...scheme.encode(drawn(random, shape), shape)];
          const table = decode(scheme, parts, shape);
          const width = table.length / shape[0];
          const rows = Int32Array.from({ length: 300 }, () => random.integer(shape[0] + 2) - 1);
          const expected = new Float32Array(rows.length * width);
          rows.forEach((row, i) => {
            if (row >= 0 && row < shape[0]) expected.set(table.subarray(row * width, (row + 1) * width), i * width);
          });
          using packed = packedOn(backend, scheme, parts, shape);
          using y = gatherRows(packed, tensor(backend, rows));
          expectBits(`table ${shape.join("x")}`, await floatsOf(y), expected);
        }
      });
    });
  },
);

/** Pools of drawn numbers, stored as named ("f32": as they are), after drawn tokens went in: their words. */
async function appended(
  backend: Backend,
  [tokens, N, M, Hkv, d]: readonly [number, number, number, number, number],
  [kAs, vAs]: readonly [string, string],
): Promise<readonly ArrayLike<number>[]> {
  const random = new Random(tokens + d);
  const plain = (shape: Shape): Tensor => tensor(backend, drawn(random, shape), shape);
  const pool = (name: string, slots: number): Tensor | PackedTensor => {
    const x = plain([slots, Hkv, d]);
    return name === "f32" ? x : quantize(x, schemes[name]);
  };
  const [kPool, vPool] = [pool(kAs, N), pool(vAs, M)];
  const shape = [1, tokens, Hkv, d];
  const slots = Int32Array.from({ length: tokens }, () => random.integer(N + 4) - 2);
  appendKV(plain(shape), plain(shape), tensor(backend, slots, [1, tokens]), kPool, vPool);
  const parts = [kPool, vPool].flatMap((one) => (one instanceof PackedTensor ? one.parts : [one]));
  return Promise.all(parts.map((part) => part.data()));
}

describe.each(
  backends.map((backend) => ({ name: `appendKV, ${backend.info.build}, ${backend.info.threads}`, backend })),
)("$name", ({ backend }) => {
  test.each([
    ["f32", "f32"],
    ["q8_0", "q4_0"],
    ["q4_0", "f16"],
    ["f16", "bf16"],
    ["bf16", "f32"],
    ["f32", "q8_0"],
  ])("keys as %s, values as %s: the words of the cpu backend", async (kAs, vAs) => {
    for (const sizes of [
      [1, 3, 3, 2, 64],
      [7, 3, 5, 2, 33],
      [900, 500, 300, 6, 40],
      [300, 1000, 1000, 3, 128],
      [2, 1, 0, 1, 1],
    ] as const) {
      const [made, right] = [
        await appended(backend, sizes, [kAs, vAs]),
        await appended(specification, sizes, [kAs, vAs]),
      ];
      expect(made.length).toBe(right.length);
      made.forEach((words, i) => {
        const at = Array.from(words).findIndex((word, j) => !Object.is(word, right[i][j]));
        expect(at === -1 ? "" : `${sizes.join()}: part ${i}, [${at}] is ${words[at]}, must be ${right[i][at]}`).toBe(
          "",
        );
      });
    }
  });
});
