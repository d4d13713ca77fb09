// Numbers rounded on the device as integer schemes store them: bit for bit what the host's encoder gives, with LSQ's gradients.
import { mul, scope, sum, tensor, valueAndGrad, type Backend } from "qwen-blocks";
import { decode, fakeQuant, integers, type IntegerScheme } from "qwen-blocks/quant";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

const schemes: fc.Arbitrary<IntegerScheme> = fc
  .record({
    bits: fc.integer({ min: 2, max: 8 }),
    affine: fc.boolean(),
    group: fc.constantFrom("tensor" as const, "row" as const, 1, 5, 8, 32),
  })
  .map(integers);

const number = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: -4, max: 4, noNaN: true }).map(Math.fround) },
  fc.constantFrom(0, -0, 1, -1, 0.5, 2 ** -20, 1e5, -1e30, 2 ** -130),
);
const matrices = fc
  .record({ rows: fc.integer({ min: 0, max: 4 }), width: fc.integer({ min: 0, max: 40 }) })
  .chain(({ rows, width }) =>
    fc.record({
      shape: fc.constant([rows, width]),
      x: fc.array(number, { minLength: rows * width, maxLength: rows * width }).map((all) => Float32Array.from(all)),
    }),
  );

describe.each(availableBackends)("$name", ({ name, open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());
  /** A GPU may divide with an error of some units in the last place, and its own rounding is what is trained with. */
  const exact = name !== "webgpu";

  test.skipIf(!exact)("y = decode(encode(x)), to the bit", async () => {
    await fc.assert(
      fc.asyncProperty(schemes, matrices, async (scheme, { shape, x }) => {
        await expectNoLeak(backend, async () => {
          const y = scope(() => fakeQuant(tensor(backend, x, shape), scheme));
          expect(await numbers(y)).toEqual([...decode(scheme, scheme.encode(x, shape), shape)]);
          y.dispose();
        });
      }),
      { numRuns: runs(60) },
    );
  });

  test.skipIf(!exact)("NaN and infinities spoil their group alone, as by the encoder", async () => {
    for (const special of [NaN, Infinity, -Infinity, 3e38])
      for (const affine of [false, true])
        for (const group of ["tensor", "row", 8] as const) {
          const scheme = integers({ bits: 4, affine, group });
          const x = Float32Array.from({ length: 48 }, (_, i) => (i % 7) - 3);
          x[10] = special;
          const y = scope(() => fakeQuant(tensor(backend, x, [3, 16]), scheme));
          expect(await numbers(y)).toEqual([...decode(scheme, scheme.encode(x, [3, 16]), [3, 16])]);
          y.dispose();
        }
  });

  test("scales as given: the gradient of LSQ, number by number", async () => {
    await expectNoLeak(backend, async () => {
      // Two groups of 4 under scales of 1 and 0.5 with codes of -3..3: inside, at a half, beyond either end.
      const scheme = integers({ bits: 3, group: 4 });
      const x = Float32Array.of(0.25, -1.5, 2.75, 9, 0.125, -4, 1.5, -0.625);
      const dy = Float32Array.of(1, 2, 4, 8, 16, 32, 64, 128);
      const params = new Map([["x", tensor(backend, x, [1, 8])], ["scale", tensor(backend, [1, 0.5])]]); // prettier-ignore
      const arriving = tensor(backend, dy, [1, 8]);
      const { value, grads } = valueAndGrad(params, () => {
        const y = fakeQuant(params.get("x")!, scheme, { scale: params.get("scale")! });
        return sum(mul(y, arriving), [0, 1]);
      });
      // Numbers 0 -2 3 3 and 0 -3 3 -1; y is those times the scale.
      expect(await numbers(value)).toEqual([0 - 2 * 2 + 4 * 3 + 8 * 3 + 0.5 * (32 * -3 + 64 * 3 - 128)]);
      expect(await numbers(grads.get("x")!)).toEqual([1, 2, 4, 0, 16, 0, 64, 128]);
      const slopes = [-0.25, -2 + 1.5, 3 - 2.75, 3, -0.25, -3, 0, -1 + 1.25];
      const share = Math.fround(1 / Math.sqrt(4 * 3));
      const sums = [0, 4].map((at) => slopes.slice(at, at + 4).reduce((sum, slope, i) => sum + slope * dy[at + i], 0));
      expect(await numbers(grads.get("scale")!)).toEqual(sums.map((sum) => Math.fround(sum * share)));
      for (const made of [...params.values(), ...grads.values(), arriving, value]) made.dispose();
    });
  });

  test("scales that follow from the numbers: straight through", async () => {
    const x = tensor(backend, [0.3, -9, 2, 0.1], [1, 4]);
    const weights = tensor(backend, [1, 2, 3, 4], [1, 4]);
    const scheme = integers({ bits: 4, group: "row", affine: true });
    const { value, grads } = valueAndGrad(new Map([["x", x]]), () => sum(mul(fakeQuant(x, scheme), weights), [0, 1]));
    expect(await numbers(grads.get("x")!)).toEqual([1, 2, 3, 4]);
    for (const made of [x, weights, value, ...grads.values()]) made.dispose();
  });
});
