// Schemes bit for bit. The golden bytes come from the `gguf` package (ggml's reference in numpy): f16 scale, then codes.
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { codeAt, packBits, unpackBits, wordsFor } from "../../src/quant/schemes/bits.js";
import { bf16ToF32, e4m3ToF32, e8m0ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/quant/schemes/float.js";
import { q4_0 } from "../../src/quant/schemes/q4.js";
import { q8_0, roundToQ8 } from "../../src/quant/schemes/q8.js";
import { decode, partSpecs, type Scheme, type Words } from "../../src/quant/schemes/scheme.js";
import { schemeNamed, schemes } from "../../src/quant/schemes/schemes.js";

/** Multiples of 1/4 up to -8: Q4_0 has its ties here. */
const quarters = Float32Array.from({ length: 32 }, (_, i) => (((i * 37) % 64) - 32) / 4);
/** amax 127, so d = 1 and many values lie halfway between two Q8_0 codes. */
const halves = Float32Array.from({ length: 32 }, (_, i) => (i === 0 ? -127 : (((i * 29) % 255) - 127) / 2));

function bytes(hex: string): number[] {
  return hex.match(/../g)?.map((pair) => parseInt(pair, 16)) ?? [];
}

/** What a GGUF block says: the bits of its scale and its codes in element order. */
function block(hex: string, bits: 4 | 8): { readonly scale: number; readonly codes: number[] } {
  const [low, high, ...rest] = bytes(hex);
  const codes = bits === 8 ? rest : [...rest.map((byte) => byte & 15), ...rest.map((byte) => byte >> 4)];
  return { scale: low | (high << 8), codes };
}

function encoded(scheme: Scheme, x: Float32Array, bits: number): { readonly scale: number; readonly codes: number[] } {
  const [codes, scales] = scheme.encode(x, [1, x.length]) as Uint32Array[];
  return { scale: codeAt(scales, 0, 16, 0), codes: [...unpackBits(codes, bits, 1, x.length)] };
}

function roundTrip(scheme: Scheme, x: Float32Array, shape: readonly number[]): number[] {
  return [...decode(scheme, scheme.encode(x, shape), shape)];
}

describe("bits", () => {
  test("codes of 4 bits lie from the lowest bit of the first word up, and a row begins on a word", () => {
    expect([...packBits([1, 2, 3, 15, 14, 13], 4, 2, 3)]).toEqual([0x321, 0xdef]);
  });

  test.each([2, 3, 4, 5, 6, 7, 8, 16, 32])("%i bits come back, also where a code crosses a word", (bits) => {
    const random = new Random(bits);
    const codes = Array.from({ length: 3 * 41 }, () => random.integer(2 ** bits));
    const words = packBits(codes, bits, 3, 41);
    expect(words.length).toBe(3 * wordsFor(41, bits));
    expect([...unpackBits(words, bits, 3, 41)]).toEqual(codes);
  });

  test("negative codes are kept as two's complement of their width", () => {
    expect([...packBits(Int8Array.of(-1, -128, 127), 8, 1, 3)]).toEqual([0x7f80ff]);
  });
});

describe("small floats", () => {
  test.each([
    [1, 0x3c00],
    [-2.5, 0xc100],
    [65504, 0x7bff],
    [65519.996, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [2.9802325e-8, 1],
    [6.1e-5, 0x03ff],
    [0.1, 0x2e66],
    [-0, 0x8000],
    [Infinity, 0x7c00],
    [-Infinity, 0xfc00],
    [NaN, 0x7e00],
    [2049, 0x6800],
    [2051, 0x6802],
    [1e-40, 0],
  ])("f16 of %d", (value, code) => {
    expect(f32ToF16(value)).toBe(code);
  });

  test.each([
    [1, 0x3f80],
    [65504, 0x4780],
    [0.1, 0x3dcd],
    [1 / 3, 0x3eab],
    [-0, 0x8000],
    [-Infinity, 0xff80],
    [NaN, 0x7fc0],
    [2049, 0x4500],
    [3.4028235e38, 0x7f80],
    [1e-40, 1],
  ])("bf16 of %d", (value, code) => {
    expect(f32ToBf16(value)).toBe(code);
  });

  test("every f16 and bf16 code that is a number comes back", () => {
    const codes = Array.from({ length: 65536 }, (_, code) => code);
    const f16Changed = codes.filter((code) => !Number.isNaN(f16ToF32(code)) && f32ToF16(f16ToF32(code)) !== code);
    const bf16Changed = codes.filter((code) => !Number.isNaN(bf16ToF32(code)) && f32ToBf16(bf16ToF32(code)) !== code);
    expect([f16Changed, bf16Changed]).toEqual([[], []]);
  });

  test("e4m3 and e8m0", () => {
    expect([0x00, 0x01, 0x08, 0x38, 0x7e, 0xfe, 0x7f].map(e4m3ToF32)).toEqual([0, 2 ** -9, 2 ** -6, 1, 448, -448, NaN]);
    expect([0, 127, 254, 255].map(e8m0ToF32)).toEqual([2 ** -127, 1, 2 ** 127, NaN]);
  });
});

describe("q8_0", () => {
  test.each([
    [quarters, "082c8114a93cd063f88d20b547dc6f04992cc053e87b10a538cc5ff4891cb143d86b"],
    [halves, "003c81cfddecfa09182635c3d2e0effd0c1b2938c6d5e3f2010f1e2c3bc9d8e6f504"],
  ])("equals ggml, halves away from zero (%#)", (x, golden) => {
    expect(encoded(q8_0, x, 8)).toEqual(block(golden, 8));
  });

  test("a short last block has a scale of its own", () => {
    const x = new Float32Array(35).fill(1);
    x[33] = -254;
    const [codes, scales] = q8_0.encode(x, [35]);
    expect([codes.length, scales.length]).toEqual([9, 1]);
    const y = decode(q8_0, [codes, scales], [35]);
    expect(y[0]).toBeCloseTo(1, 3);
    expect([...y.slice(32)]).toEqual([2, -254, 2]);
  });

  test("zeros stay zero, one outlier costs the rest of its block only", () => {
    expect(roundTrip(q8_0, new Float32Array(64), [64])).toEqual(new Array(64).fill(0));
    const x = new Float32Array(64).fill(0.25);
    x[3] = 12700;
    const y = roundTrip(q8_0, x, [64]);
    expect([y[3], y[4]]).toEqual([12700, 0]);
    expect(y[40]).toBeCloseTo(0.25, 3);
  });

  test("a block with NaN or an infinity decodes to NaN throughout, its neighbours do not", () => {
    for (const value of [NaN, Infinity, -Infinity]) {
      const x = new Float32Array(64).fill(1);
      x[5] = value;
      const y = roundTrip(q8_0, x, [64]);
      expect(y.slice(0, 32).every(Number.isNaN)).toBe(true);
      expect(y.slice(32).some(Number.isNaN)).toBe(false);
    }
  });

  test("roundToQ8 is decode(encode(x)) for rows of any width", () => {
    const random = new Random(1);
    for (const width of [0, 1, 31, 32, 33, 70]) {
      const x = Float32Array.from({ length: 3 * width }, () => random.normal());
      expect([...roundToQ8(x, 3, width)]).toEqual(roundTrip(q8_0, x, [3, width]));
    }
  });
});

describe("q4_0", () => {
  test.each([
    [quarters, "003c40d973fc952ec851ea731da63fc862fb"],
    [halves, "f04bb0b546576879899aabb4c5565768798a"],
  ])("equals ggml (%#)", (x, golden) => {
    expect(encoded(q4_0, x, 4)).toEqual(block(golden, 4));
  });

  test("the extreme keeps its sign and becomes -8 scales exactly; of equals the first counts", () => {
    expect(roundTrip(q4_0, Float32Array.of(8, -8, 1), [3])).toEqual([8, -7, 1]);
    expect(roundTrip(q4_0, Float32Array.of(-8, 8, 1), [3])).toEqual([-8, 7, 1]);
  });

  test("a block with NaN decodes to NaN throughout", () => {
    expect(roundTrip(q4_0, Float32Array.of(1, NaN, 0), [3]).every(Number.isNaN)).toBe(true);
  });
});

describe("decode", () => {
  test("f16 and bf16 keep what they can hold, in rows of any width", () => {
    const x = Float32Array.of(1, -0.5, 3, Infinity, NaN, 0);
    for (const name of ["f16", "bf16"]) expect(roundTrip(schemes[name], x, [2, 3])).toEqual([...x]);
  });

  /** value = (code - zero) * (scale * superscale) + tensor offset, codes of 3 bits, everything of another granularity. */
  const all: Scheme = {
    name: "all",
    parts: [
      { role: "code", per: "element", bits: 3, as: "uint" },
      { role: "zero", per: "row", bits: 8, as: "int" },
      { role: "scale", per: "block", bits: 4, as: [1, 10, 100] },
      { role: "scale", per: "superblock", bits: 32, as: "f32" },
      { role: "scale", per: "tile", bits: 8, as: "e8m0" },
      { role: "offset", per: "tensor", bits: 16, as: "f16" },
    ],
    block: 2,
    superblock: 4,
    tile: [2, 4],
    encode: () => [],
  };

  test("parts have rows of the numbers; tiles and tensors have rows of their own", () => {
    expect(partSpecs(all, [2, 3, 6]).map(({ dtype, shape }) => [dtype, ...shape])).toEqual([
      ["u32", 6, 1],
      ["u32", 6, 1],
      ["u32", 6, 1],
      ["f32", 6, 2],
      ["u32", 4, 1],
      ["u32", 1, 1],
    ]);
  });

  test("one formula for every combination of parts", () => {
    const shape = [3, 6];
    const parts: Words[] = [
      packBits([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1], 3, 3, 6),
      packBits([0, -1, 1], 8, 3, 1),
      packBits([0, 1, 2, 0, 0, 1, 2, 2, 0], 4, 3, 3),
      Float32Array.of(1, 2, 3, 4, 5, 6),
      packBits([127, 128, 126, 127], 8, 2, 2),
      packBits([f32ToF16(0.5)], 16, 1, 1),
    ];
    expect([...decode(all, parts, shape)]).toEqual([
      0.5,
      1.5,
      20.5,
      30.5,
      1600.5,
      2000.5, // zero 0; scales 1, 10, 100; superscales 1, 2; tiles 1, 2
      21.5,
      24.5,
      3.5,
      6.5,
      240.5,
      320.5, // zero -1; scales 1, 1, 10; superscales 3, 4; tiles 1, 2
      750.5,
      1000.5,
      1250.5,
      1500.5,
      -5.5,
      0.5, // zero 1; scales 100, 100, 1; superscales 5, 6; tiles 1/2, 1
    ]);
  });

  test("words that do not fit are refused by part", () => {
    expect(() => decode(q8_0, [new Uint32Array(8), new Uint32Array(2)], [1, 32])).toThrow(
      "scheme q8_0: part 1 (scale per block) of numbers [1,32] must have [1,1] words, got 2",
    );
    expect(() => decode(q8_0, [new Uint32Array(8)], [1, 32])).toThrow("scheme q8_0: must have 2 parts, got 1");
  });

  test("an unknown scheme is an error that names the known ones", () => {
    expect(() => schemeNamed("quantize", "q9")).toThrow(
      /^quantize: scheme must be one of f16, bf16, q8_0, .*, nf4, got q9; decode it first, or pass the scheme itself$/,
    );
  });

  test("no rows, and rows of no numbers", () => {
    for (const scheme of Object.values(schemes)) {
      for (const shape of [
        [0, 32],
        [3, 0],
      ]) {
        const parts = scheme.encode(new Float32Array(0), shape);
        expect(parts.map((words) => words.length)).toEqual(
          partSpecs(scheme, shape).map((spec) => spec.shape[0] * spec.shape[1]),
        );
        expect(decode(scheme, parts, shape).length).toBe(0);
      }
    }
  });
});
