// The oracle's own kernels of norms, softmax and attention: whatever lies within the bounds of the operands, computed by arithmetic as wrong as
// its profile allows, lies within the bound of the result; and that bound is not much larger than what does occur.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AttentionAttrs, Backend } from "../../src/backends/backend.js";
import { Random } from "../../src/core/random.js";
import { sizeOf, type Shape } from "../../src/core/shape.js";
import { attention } from "../../src/ops/attention.js";
import { attentionGrad } from "../../src/ops/attention-grad.js";
import { rmsNorm } from "../../src/ops/rms-norm.js";
import { rmsNormGrad } from "../../src/ops/rms-norm-grad.js";
import { softmax } from "../../src/ops/softmax.js";
import { tensor } from "../../src/tensor/create.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { present } from "../../src/testing/bench.js";
import { oracle } from "../../src/testing/oracle/oracle.js";
import { hostile } from "./hostile.js";

const attrs: AttentionAttrs = { scale: 0.5, causal: true, window: 0, sinks: 0, softcap: 0 };
const [T, S, d] = [3, 5, 4];
const tables = (where: Backend): [queries: Tensor, keys: Tensor] => [
  tensor(
    where,
    Int32Array.from({ length: T * 4 }, (_, i) => [2 + (i >> 2), 0, 0, S][i % 4]),
    [1, T, 4],
  ),
  tensor(
    where,
    Int32Array.from({ length: S * 3 }, (_, i) => [i / 3, 0, (i - 2) / 3][i % 3]),
    [1, S, 3],
  ),
];
const [q, pool]: Shape[] = [[1, T, 2, d], [S, 1, d]]; // prettier-ignore

/** Each with the shapes of its operands. */
const ops: Readonly<Record<string, [shapes: readonly Shape[], op: (...x: Tensor[]) => readonly Tensor[]]>> = {
  rmsNorm: [[[2, 5], [5]], (x, w) => [rmsNorm(x, w, 1e-6)]],
  rmsNormGrad: [[[2, 5], [5], [2, 5]], (x, w, dy) => present(rmsNormGrad(x, w, dy, 1e-6, [true, true]))],
  softmax: [[[2, 6]], (x) => [softmax(x)]],
  attention: [[q, pool, pool], (x, k, v) => [attention(x, k, v, ...tables(x.backend), attrs)]],
  "attention, capped": [[q, pool, pool], (x, k, v) => [attention(x, k, v, ...tables(x.backend), { ...attrs, softcap: 2, window: 2 })]],
  attentionGrad: [[q, pool, pool, q, q], (x, k, v, y, dy) => present(attentionGrad(x, k, v, ...tables(x.backend), y, dy, attrs, [true, true, true]))],
}; // prettier-ignore

/** Operands near these numbers: each up to `width` away, relative to 1. */
interface Box {
  readonly value: Float64Array;
  readonly bound: Float64Array;
}
function boxes(shapes: readonly Shape[], random: Random, width: number, size: number): Box[] {
  return shapes.map((shape) => ({
    value: Float64Array.from({ length: sizeOf(shape) }, () => size * random.normal()),
    bound: Float64Array.from({ length: sizeOf(shape) }, () => width * random.uniform()),
  }));
}

/** An f32 number in the box, mostly near a corner. */
function inside(value: number, bound: number, random: Random): number {
  const moved = Math.fround(value + bound * [-1, 1, 1 - 2 * random.uniform()][random.integer(3)] * (1 - 2 ** -20));
  if (Math.abs(moved - value) <= bound) return moved;
  const nearest = Math.fround(value);
  return Math.abs(nearest - value) <= bound ? nearest : NaN;
}

describe.each(["ieee", "wgsl"] as const)("%s", async (accuracy) => {
  const worst = await hostile(accuracy);

  test.each(Object.entries(ops))("%s", async (_, [shapes, op]) => {
    const judge = oracle(accuracy);
    let closest = 0;
    const widths = fc.constantFrom(0, 1e-6, 1e-4, 1e-2, 0.3, 3);
    await fc.assert(
      fc.asyncProperty(fc.nat(), widths, fc.constantFrom(0.1, 1, 4), async (seed, width, size) => {
        const random = new Random(seed);
        const given = boxes(shapes, random, width, size).map(({ value, bound }) =>
          width === 0 ? { value: Float64Array.from(Float32Array.from(value)), bound } : { value, bound },
        );
        const near = given.map(({ value, bound }, i) => {
          const x = tensor(judge, new Float32Array(value.length), shapes[i]);
          judge.assign(x, value, bound);
          return x;
        });
        const expected = await Promise.all(op(...near).map((y) => judge.inspect(y)));
        for (let trial = 0; trial < 8; trial++) {
          const drawn = given.map(({ value, bound }) =>
            Float32Array.from(value, (x, i) => inside(x, bound[i], random)),
          );
          if (drawn.some((numbers) => numbers.some(Number.isNaN))) continue; // no f32 number lies in a narrow box
          const got = await Promise.all(op(...drawn.map((x, i) => tensor(worst, x, shapes[i]))).map((y) => y.data()));
          expected.forEach(({ value, bound }, output) => {
            value.forEach((y, i) => {
              const error = Math.abs(got[output][i] - y);
              if (bound[i] === Infinity) return;
              if (!(error <= bound[i]))
                expect.fail(`output ${output} [${i}] is ${error} off where ${bound[i]} is allowed`);
              if (bound[i] > 0) closest = Math.max(closest, error / bound[i]);
            });
          });
        }
      }),
      { numRuns: 60 },
    );
    expect(closest).toBeGreaterThan(1 / 4);
  });
});

describe("bounds that primitives cannot give", () => {
  const ieee = oracle("ieee");
  const about = (value: readonly number[], bound: number): Tensor => {
    const x = tensor(ieee, value);
    ieee.assign(x, Float64Array.from(value), new Float64Array(value.length).fill(bound));
    return x;
  };
  const boundsOf = async (x: Tensor): Promise<number[]> => [...(await ieee.inspect(x)).bound];

  test("a normalised number is at most the root of the width, a probability at most 1, whatever came in", async () => {
    const ones = tensor(ieee, [1, 1, 1, 1]);
    for (const bound of await boundsOf(rmsNorm(about([1, -2, 3, 4], 100), ones, 1e-6))) expect(bound).toBeLessThan(2 * 2 + 0.01); // prettier-ignore
    for (const bound of await boundsOf(softmax(about([1, -2, 3, 4], 100)))) expect(bound).toBeLessThan(1.01);
  });

  test("a single key is weighed exactly, and equal values are their mean under any weights", async () => {
    const [one] = await boundsOf(softmax(about([3], 1)));
    expect(one).toBeLessThan(2 ** -18);
    const rows = tensor(ieee, Array<number>(S * d).fill(2), [S, 1, d]);
    const query = tensor(ieee, new Float32Array(T * 2 * d), [1, T, 2, d]);
    ieee.assign(query, new Float64Array(T * 2 * d).fill(1), new Float64Array(T * 2 * d).fill(0.5));
    const y = attention(query, rows, rows, ...tables(ieee), attrs);
    for (const bound of await boundsOf(y)) expect(bound).toBeLessThan(2 ** -12);
  });
});
