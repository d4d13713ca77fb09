// FP8 codes against torch (blocks.json), and where scales lie.
import { fp8 } from "qwen-blocks/quant";
import { describe, expect, test } from "vitest";
import { e4m3ToF32, e5m2ToF32, f32ToE4m3, f32ToE5m2 } from "../../src/quant/schemes/float-codes.js";
import { decode } from "../../src/quant/schemes/scheme.js";
import { bytesOf, floatsOf, golden } from "../golden/block-fixture.js";

const formats = { e4m3: [e4m3ToF32, f32ToE4m3], e5m2: [e5m2ToF32, f32ToE5m2] } as const;

describe.each(["e4m3", "e5m2"] as const)("%s", (format) => {
  const { read, given, codes } = golden.fp8[format];
  const [toF32, fromF32] = formats[format];

  test("codes are read as torch reads them, and numbers rounded as torch rounds them", () => {
    expect(Float32Array.from({ length: 256 }, (_, code) => toF32(code))).toEqual(floatsOf(read));
    const x = floatsOf(given);
    const [own, torch] = [Uint8Array.from(x, fromF32), bytesOf(codes)];
    // NaN may have either sign.
    const differ = [...own.keys()].filter((i) => own[i] !== torch[i] && !Number.isNaN(toF32(torch[i])));
    expect(differ.map((i) => [x[i], own[i], torch[i]])).toEqual([]);
    expect([...own].map((code) => Number.isNaN(toF32(code)))).toEqual([...torch].map((c) => Number.isNaN(toF32(c))));
  });

  test("numbers that the codes hold under a scale of 2 come back, largest and subnormals among them", () => {
    const numbers = floatsOf(read).filter(Number.isFinite).map((value) => 2 * value); // prettier-ignore
    for (const per of ["tensor", "row", "tile"] as const) {
      const scheme = fp8({ format, per });
      const shape = [1, numbers.length];
      expect(decode(scheme, scheme.encode(numbers, shape), shape)).toEqual(numbers);
    }
  });
});

test("a tile's scale covers its rows and columns, and no other matrix", () => {
  const scheme = fp8({ per: "tile", tile: [2, 4] });
  const shape = [2, 3, 6];
  const x = Float32Array.from({ length: 36 }, (_, i) => 448 * (1 + Math.floor(i / 18)));
  x[0] = 448 * 16; // of the first tile of the first matrix
  x[2 * 6 + 5] = 448 * 8; // of its last, one row of two columns
  expect([...scheme.encode(x, shape)[1]]).toEqual([16, 1, 1, 8, 2, 2, 2, 2]);
});

test("a tile of no size is refused", () => {
  expect(() => fp8({ per: "tile", tile: [0, 128] })).toThrow("fp8: tile must be two positive integers, got [0,128]");
});
