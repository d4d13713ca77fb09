// decode(encode(x)) lies within the bound that each scheme's rule implies, for every finite block that the scheme can hold.
import { schemes } from "qwen-blocks/quant";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decode } from "../../src/quant/schemes/scheme.js";

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
 *   order, 4 u |x / d| with what is left (and by u 16.5 in q4_0, which adds 8.5 before it cuts off). The code is the nearest integer of that, half a step off; q4_0 has no code for +8 and stores 7
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
  const rounding = 4 * u * scaled + 16.5 * u;
  return d * (Math.max(0.5, overshoot(x / d)) + rounding) + code * (f16Step(d) / 2 + u * d + u * 2 * d);
}

/** By how much a scaled number of q4_0 lies beyond its greatest code, 7, where the extreme is -8. */
const beyondSeven = (scaled: number): number => Math.abs(scaled) - 7;

const bounds: Readonly<Record<string, (x: Float32Array, i: number) => number>> = {
  f16: (x, i) => (x[i] === 0 ? 0 : halfStep(x[i], 10, -14)),
  bf16: (x, i) => (x[i] === 0 ? 0 : halfStep(x[i], 7, -126)),
  q8_0: (x, i) => blockBound(x[i], extremeOf(x, i), 127, () => 0),
  q4_0: (x, i) => {
    const extreme = extremeOf(x, i);
    return blockBound(x[i], extreme, 8, (scaled) => (Math.sign(x[i]) === Math.sign(extreme) ? 0 : beyondSeven(scaled)));
  },
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
