// decode(encode(x)) lies within the bound that each scheme's rule implies, for every finite block that the scheme can hold.
import { schemes } from "qwen-blocks/quant";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packBits } from "../../src/quant/schemes/bits.js";
import { decode, type Scheme } from "../../src/quant/schemes/scheme.js";

const u = 2 ** -24;
const f16Step = (x: number): number => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -14) - 10);

/** Half the distance of neighbouring numbers with `bits` of mantissa, where the smallest normal number is 2^least. */
const halfStep = (x: number, bits: number, least: number): number => {
  let exponent = Math.floor(Math.log2(Math.abs(x)));
  if (2 ** exponent > Math.abs(x)) exponent--; // log2 may round up to a power of two
  return 2 ** (Math.max(exponent, least) - bits - 1);
};

/**
 * A block under one scale: code = round(x / d), decoded with D, d rounded to f16. |x - D code| <= |x - d code| + |d - D| |code|.
 * - d is extreme / divisor rounded to f32, its reciprocal and x times that are rounded too: the scaled number is off by 3 u |x / d| to first
 *   order, 4 u |x / d| with what is left (and by u times the greatest sum in q4_0 and q5_0, which add 8.5 or 16.5 before they cut off). The code is the nearest integer of that, half a step off; q4_0 has no code for +8 and stores 7
 *   there: a whole step, and only on the side away from the extreme.
 * - D is d within half a step of f16, 2^-11 |d| or 2^-25; where |d| is at least 65520 a block does not fit.
 * - Where |d| <= 2^-25, D is 0 and x is lost as a whole; above, no step of f32 is subnormal that the half step would not cover.
 * - The decoded product D code is rounded to f32: u |D code|.
 */
function blockBound(x: number, extreme: number, divisor: number, overshoot: (scaled: number) => number): number {
  const d = Math.abs(extreme) / divisor;
  if (extreme === 0) return 0;
  if (d <= 2 ** -25) return Math.abs(x);
  const scaled = Math.abs(x) / d;
  const code = scaled + 1;
  const rounding = 4 * u * scaled + 33 * u;
  return d * (Math.max(0.5, overshoot(x / d)) + rounding) + code * (f16Step(d) / 2 + u * d + u * 2 * d);
}

/** A block by its extreme, whose codes end at one less than the extreme's on the other side. */
const byExtreme = (half: number): Bound => {
  return (x, i) => {
    const extreme = extremeOf(x, i);
    const own = Math.sign(x[i]) === Math.sign(extreme);
    return blockBound(x[i], extreme, half, (scaled) => (own ? 0 : Math.abs(scaled) - (half - 1)));
  };
};

/**
 * A block by its range: code = round((x - low) / d), decoded as D code + M, d and low rounded to f16. Half a step, what the two roundings cost, 5 u of
 * the scaled number and u of each term that is decoded. Where 1 / d overflows, the block's numbers are no further apart than 31 * 2^-128.
 */
const byRange = (top: number): Bound => {
  return (x, i) => {
    const [low, high] = rangeOf(groupOf(x, i, 32));
    const d = (high - low) / top;
    const code = d === 0 ? 0 : (x[i] - low) / d + 1;
    const rounding = 5 * u * (x[i] - low) + top * u * d + 3 * u * (code * d + Math.abs(low));
    return d / 2 + (code * f16Step(d)) / 2 + f16Step(low) / 2 + rounding + 2 ** -122;
  };
};

type Bound = (x: Float32Array, i: number) => number;
const groupOf = (x: Float32Array, i: number, width: number): Float32Array =>
  x.subarray(i - (i % width), i - (i % width) + width);
const rangeOf = (x: Float32Array): readonly [number, number] => [Math.min(...x), Math.max(...x)];

/**
 * Codes chosen by the stored scale: `share` of the group's greatest magnitude (or range), that is half a step of codes that reach from end to end. A
 * scale in f16 may be 2^-11 larger, and where it is smaller the last code falls short by less than half a step unless it is subnormal: 2^-25 (f32: 2^-150)
 * times the codes' end. Scaled and decoded numbers are rounded: 4 u of either.
 */
const byStored = (size: Bound, share: Bound, lost: number): Bound => {
  return (x, i) => share(x, i) * (1 + 2 ** -10) + 4 * u * size(x, i) + lost;
};
const most =
  (width: number): Bound =>
  (x, i) =>
    groupOf(x, i, width).reduce((most, y) => Math.max(most, Math.abs(y)), 0);
const range =
  (width: number): Bound =>
  (x, i) => {
    const [low, high] = rangeOf(groupOf(x, i, width));
    return Math.max(high, 0) - Math.min(low, 0);
  };

/** Half the distance of neighbouring codes under the scale; one of f32 that is subnormal is off by 2^-150. */
const byFp8 =
  (mantissa: number, least: number, end: number): Bound =>
  (x, i) => {
    const size = most(128)(x, i);
    if (size === 0) return 0;
    const scaled = Math.max((Math.abs(x[i]) / size) * end * (1 + 4 * u), 2 ** -60);
    return (size / end) * halfStep(scaled, mantissa, least) + 4 * u * size + end * 2 ** -149;
  };

/** Of E2M1, under a scale of one: half the step there. */
const stepOfE2m1 = (scaled: number): number => (scaled <= 2 ? 0.25 : scaled <= 4 ? 0.5 : 1);

/**
 * What least squares leave: the code that is nearest under the stored scales, of all that the scheme has, and 8 u of the largest number that they
 * make, for scaled numbers are rounded. (That the scales are good is for the fixture to say: test/quant/ggml-schemes.test.ts.)
 */
const nearestUnderStored = (scheme: Scheme): Bound => {
  let of: Float32Array | undefined;
  let bounds: number[] = [];
  return (x, i) => {
    if (of !== x) bounds = nearestBounds(scheme, x);
    of = x;
    return bounds[i];
  };
};

function nearestBounds(scheme: Scheme, x: Float32Array): number[] {
  const [, ...scales] = scheme.encode(x, [1, x.length]);
  const { bits } = scheme.parts[0];
  const all = Array.from({ length: 2 ** bits }, (_, code) => {
    const codes = packBits(new Uint8Array(x.length).fill(code), bits, 1, x.length);
    return decode(scheme, [codes, ...scales], [1, x.length]);
  });
  return Array.from(x, (value, i) => {
    const least = all.reduce((least, y) => Math.min(least, Math.abs(y[i] - value)), Infinity);
    const largest = all.reduce((largest, y) => Math.max(largest, Math.abs(y[i])), Math.abs(value));
    return least + 8 * u * largest;
  });
}

const bounds: Readonly<Record<string, Bound>> = {
  f16: (x, i) => (x[i] === 0 ? 0 : halfStep(x[i], 10, -14)),
  bf16: (x, i) => (x[i] === 0 ? 0 : halfStep(x[i], 7, -126)),
  q8_0: (x, i) => blockBound(x[i], extremeOf(x, i), 127, () => 0),
  q4_0: byExtreme(8),
  q5_0: byExtreme(16),
  q4_1: byRange(15),
  q5_1: byRange(31),
  // Numbers beyond 6 scales become 6 scales, up to a quarter of the greatest below 8; the least scale is 2^-127.
  mxfp4: (x, i) => most(32)(x, i) / 4 + 2 ** -129,
  // Tiles and rows: a drawn row is narrower than a tile.
  int8: byStored(most(128), (x, i) => most(128)(x, i) / 254, 127 * 2 ** -149),
  int8_affine: byStored(range(128), (x, i) => range(128)(x, i) / 510, 255 * 2 ** -149),
  int4: byStored(most(32), (x, i) => most(32)(x, i) / 14, 7 * 2 ** -24),
  int4_affine: byStored(range(32), (x, i) => (range(32)(x, i) / 30) * (1 + 15 * 2 ** -10), 15 * 2 ** -24),
  fp8_e4m3: byFp8(3, -6, 448),
  fp8_e4m3_tile: byFp8(3, -6, 448),
  fp8_e5m2: byFp8(2, -14, 57344),
  fp4: byStored(
    most(32),
    (x, i) => (most(32)(x, i) / 6) * stepOfE2m1((6 * Math.abs(x[i])) / (most(32)(x, i) || 1) - 2 ** -7),
    6 * 2 ** -24,
  ),
  nf4: byStored(most(64), (x, i) => 0.152 * most(64)(x, i), 2 ** -24),
  ...Object.fromEntries(
    ["q4_k", "q5_k", "q6_k", "iq4_nl"].map((name) => [name, nearestUnderStored(schemes[name])] as const),
  ),
};

/** The first element of the greatest magnitude in the block of element i. */
function extremeOf(x: Float32Array, i: number): number {
  const from = i - (i % 32);
  return x.subarray(from, from + 32).reduce((extreme, y) => (Math.abs(y) > Math.abs(extreme) ? y : extreme), 0);
}

/** The greatest magnitude that a scheme can hold: from here on it rounds to infinity, or the scale does. */
const greatest: Readonly<Record<string, number>> = {
  f16: 65520,
  bf16: (2 - 2 ** -8) * 2 ** 127,
  q8_0: 65504 * 127,
  q4_0: 65504 * 8,
  q5_0: 65504 * 16,
  // The offset is the least number itself.
  q4_1: 65504,
  q5_1: 65504,
  mxfp4: 2 ** 127,
  // Where the last code's number, rounded up, is still one.
  int8: 2 ** 126,
  int8_affine: 2 ** 126,
  fp8_e4m3: 2 ** 126,
  fp8_e4m3_tile: 2 ** 126,
  fp8_e5m2: 2 ** 126,
  int4: 65504 * 7,
  int4_affine: (65504 * 15) / 2,
  fp4: 65504 * 6,
  nf4: 65504,
  // Two levels: 63 steps (128 of Q6_K, 32 codes) of what f16 can hold, less what least squares may add.
  q4_k: 65504 * 50,
  q5_k: 65504 * 50,
  q6_k: 65504 * 128 * 20,
  iq4_nl: 65504 * 100,
};

/** Numbers of one magnitude or of many, one-sided or not, with zeros, subnormals and the extremes of the scheme between them. */
const rows = (most: number): fc.Arbitrary<Float32Array> => {
  const signs = fc.constantFrom([1], [-1], [1, -1]);
  const special = fc.constantFrom(
    0,
    -0,
    2 ** -149,
    2 ** -127,
    2 ** -126,
    2 ** -25,
    2 ** -14,
    most * (1 - 2 ** -12),
    most / 2,
  );
  const exponents = fc.constantFrom([0, 0], [-3, 3], [-140, -120], [-30, -10], [-40, Math.floor(Math.log2(most)) - 1]);
  const number = fc.record({ exponent: fc.double({ min: 0, max: 1, noNaN: true }), mantissa: fc.double({ min: 1, max: 2, noNaN: true }), sign: fc.nat(1), special: fc.option(special, { freq: 12, nil: undefined }) }); // prettier-ignore
  return fc
    .tuple(signs, exponents, fc.array(number, { minLength: 1, maxLength: 70 }), fc.boolean())
    .map(([sides, [low, high], all, plain]) =>
      Float32Array.from(all, ({ exponent, mantissa, sign, special }) => {
        const size =
          special !== undefined && !plain ? special : mantissa * 2 ** Math.round(low + exponent * (high - low));
        return sides[sign % sides.length] * size;
      }),
    );
};

describe.each(Object.values(schemes))("$name", (scheme) => {
  test("decode(encode(x)) lies within the bound of its rule", () => {
    expect(Object.keys(bounds)).toContain(scheme.name);
    let closest = 0;
    fc.assert(
      fc.property(rows(greatest[scheme.name]), (x) => {
        const shape = [1, x.length];
        const y = decode(scheme, scheme.encode(x, shape), shape);
        x.forEach((value, i) => {
          const bound = bounds[scheme.name](x, i);
          const error = Math.abs(y[i] - value);
          if (!(error <= bound)) expect.fail(`${value} became ${y[i]}, ${error} off where ${bound} is allowed`);
          if (bound > 0 && bound < Math.abs(value)) closest = Math.max(closest, error / bound);
        });
      }),
      { numRuns: 500 },
    );
    // A bound that nothing comes near would promise little.
    expect(closest).toBeGreaterThan(0.9);
  });
});
