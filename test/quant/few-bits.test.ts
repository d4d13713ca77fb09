// int8, int4, FP4, NF4, MXFP4 by hand: codes, scales, zero points, names; and what every scheme makes of numbers that are no numbers, of zeros and
// of one large number among small ones.
import { fp4, int4, int8, mxfp4Parts, nf4, schemes, type Scheme } from "qwen-blocks/quant";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { packBits, unpackBits } from "../../src/quant/schemes/bits.js";
import { decode, partSpecs } from "../../src/quant/schemes/scheme.js";

function roundTrip(scheme: Scheme, x: Float32Array, shape: readonly number[] = [1, x.length]): number[] {
  return [...decode(scheme, scheme.encode(x, shape), shape)];
}

describe("integers", () => {
  test("symmetric: scale = greatest / 127, ties to even", () => {
    const [codes, scales] = int8().encode(Float32Array.of(127, -2.5, 1.5, 0, -63.5, 0.25, 0, 0), [2, 4]) as [Uint32Array, Float32Array]; // prettier-ignore
    expect([...new Int8Array(codes.buffer)]).toEqual([127, -2, 2, 0, -127, 0, 0, 0]);
    expect([...scales]).toEqual([1, 0.5]);
  });

  test("affine: the range holds zero, and zero stays zero", () => {
    const scheme = int4({ group: 4, affine: true });
    const x = Float32Array.of(-5, 10, 0, 0.4, 15, 30, 7, 0, -15, -1, -2, 0);
    const [codes, zeros] = scheme.encode(x, [1, 12]) as Uint32Array[];
    expect([...unpackBits(zeros, 4, 1, 3)]).toEqual([5, 0, 15]);
    expect([...unpackBits(codes, 4, 1, 12)]).toEqual([0, 15, 5, 5, 8, 15, 4, 0, 0, 14, 13, 15]);
    expect(roundTrip(scheme, x)).toEqual([-5, 10, 0, 0, 16, 30, 8, 0, -15, -1, -2, 0]);
  });

  test("a scale for the whole tensor, even for one without numbers", () => {
    const scheme = int8({ group: "tensor", affine: true });
    expect(partSpecs(scheme, [3, 4]).map(({ shape }) => [...shape])).toEqual([[3, 1], [1, 1], [1, 1]]); // prettier-ignore
    expect(roundTrip(scheme, Float32Array.of(0, 255, 17.4, 3), [2, 2])).toEqual([0, 255, 17, 3]);
    expect(scheme.encode(new Float32Array(0), [0, 4]).map(({ length }) => length)).toEqual([0, 1, 1]);
  });

  test("names say what differs from the usual", () => {
    const made = [int8(), int8({ group: 64 }), int4({ group: 128, affine: true }), int4({ group: "row" }), int4({ group: "tensor" })]; // prettier-ignore
    expect(made.map(({ name }) => name)).toEqual(["int8", "int8_64", "int4_128_affine", "int4_row", "int4_tensor"]);
    expect([fp4().name, fp4({ group: 16 }).name, nf4().name]).toEqual(["fp4", "fp4_16", "nf4"]);
  });

  test.each([0, -1, 1.5, NaN])("a group of %d is refused", (group) => {
    for (const make of [int8, int4, fp4, nf4])
      expect(() => make({ group })).toThrow(`group must be a positive integer, got ${group}`);
  });
});

/** Codes that hold both ends, so that scales and zero points come out as they went in. */
describe("codes that are decoded and encoded again stay", () => {
  const random = new Random(3);
  test.each([
    [int8(), 8, [127, 129], (code: number) => code !== 128],
    [int8({ affine: true }), 8, [0, 255], () => true],
    [int4(), 4, [7, 9], (code: number) => code !== 8],
    [schemes.q4_1, 4, [0, 15], () => true],
    [schemes.q5_1, 5, [0, 31], () => true],
    [fp4(), 4, [7, 15], () => true],
    [nf4(), 4, [0, 15], () => true],
    [schemes.mxfp4, 4, [7, 15], (code: number) => code !== 8],
  ] as const)("$name", (scheme, bits, ends, holds) => {
    const width = scheme.block === 1 ? 32 : scheme.block;
    const drawn = Array.from({ length: width }, () => random.integer(2 ** bits)).map((code) =>
      holds(code) ? code : 0,
    );
    const codes = packBits([...ends, ...drawn.slice(2)], bits, 1, width);
    const x = Float32Array.from({ length: width }, (_, i) => (i % 2 === 0 ? 1 : -1));
    const [, ...others] = scheme.encode(x, [1, width]);
    const numbers = decode(scheme, [codes, ...others], [1, width]);
    const again = scheme.encode(numbers, [1, width]);
    expect(again[0]).toEqual(codes);
  });
});

describe("mxfp4", () => {
  test("bytes of gpt-oss: the earlier element in the lower half", () => {
    const blocks = Uint8Array.from({ length: 64 }, (_, i) => (7 * i) % 256);
    const parts = mxfp4Parts(blocks, Uint8Array.of(127, 128, 126, 255), [2, 64]);
    const table = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6];
    const expected = [...blocks].flatMap((byte) => [table[byte & 15], table[byte >> 4]]);
    const scales = [1, 2, 0.5, NaN];
    expect([...decode(schemes.mxfp4, parts, [2, 64])]).toEqual(expected.map((x, i) => x * scales[Math.floor(i / 32)]));
    expect(() => mxfp4Parts(blocks, new Uint8Array(3), [2, 64])).toThrow("got 64 bytes and 3 scales");
    expect(() => mxfp4Parts(blocks, new Uint8Array(4), [4, 33])).toThrow("must come in whole blocks of 32");
  });

  test("subnormals: a scale of 2^-127 and what it reaches", () => {
    const x = Float32Array.of(2 ** -126, 2 ** -149, 3 * 2 ** -128, -(2 ** -128));
    expect(roundTrip(schemes.mxfp4, x)).toEqual([2 ** -126, 0, 3 * 2 ** -128, -(2 ** -128)]);
  });
});

const made = [int8({ group: "tensor" }), int8({ group: 16, affine: true }), int4({ group: "row", affine: true })];
describe.each([...Object.values(schemes), ...made])("$name", (scheme) => {
  const { block, superblock = block, parts } = scheme;
  const width = Math.max(64, 2 * superblock);
  const scaled = parts.length > 1;

  test("zeros stay zero, and minus zero is zero", () => {
    const x = new Float32Array(width).fill(-0, 3, 9);
    expect(roundTrip(scheme, x).every((value) => value === 0)).toBe(true);
  });

  test("NaN and infinities spoil what shares their scale, and nothing else", () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const x = new Float32Array(2 * width).fill(1);
      x[5] = value;
      const y = roundTrip(scheme, x, [2, width]);
      expect(Number.isFinite(y[5])).toBe(false);
      const coarsest = scaled ? parts[parts.length - 1].per : "element";
      if (coarsest === "tensor" || coarsest === "tile") continue;
      const spoiled = !scaled ? 6 : coarsest === "row" ? width : superblock;
      expect(y.slice(spoiled).every(Number.isFinite)).toBe(true);
      if (scaled) expect(y.slice(0, spoiled).some(Number.isFinite)).toBe(false);
    }
  });

  test("one large number among small ones keeps a quarter of itself, and the next row its own", () => {
    const x = new Float32Array(2 * width).fill(0.01);
    x[7] = -1000;
    const y = roundTrip(scheme, x, [2, width]);
    expect(Math.abs(y[7] + 1000)).toBeLessThanOrEqual(250);
    const shared = parts.some(({ per }) => per === "tensor" || per === "tile");
    if (!shared) for (const value of y.slice(width)) expect(Math.abs(value - 0.01)).toBeLessThanOrEqual(0.0025);
  });

  test("numbers of one sign in a narrow range stay where they are", () => {
    for (const sign of [-1, 1])
      for (const spread of [0, 0.03, 0.1]) {
        const x = Float32Array.from({ length: width }, (_, i) => sign * (1 - (spread * (i % 5)) / 4));
        for (const [i, value] of roundTrip(scheme, x).entries()) expect(Math.abs(value - x[i])).toBeLessThan(0.25);
      }
  });

  test("subnormals stay finite", () => {
    const x = Float32Array.from({ length: width }, (_, i) => ((i % 7) - 3) * 2 ** -140);
    for (const value of roundTrip(scheme, x)) expect(Math.abs(value)).toBeLessThanOrEqual(2 ** -125);
  });
});
