// The oracle itself: its bounds hold, are not much larger than errors that do occur, and say so where nothing can be promised.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/core/random.js";
import { attention } from "../../src/ops/attention.js";
import { add, div, equal, less, mul, sub } from "../../src/ops/binary.js";
import { bitcast, cast } from "../../src/ops/cast.js";
import { dequantize } from "../../src/ops/dequantize.js";
import { fill } from "../../src/ops/fill.js";
import { gatherRows } from "../../src/ops/gather-rows.js";
import { linear } from "../../src/ops/linear.js";
import { matmul } from "../../src/ops/matmul.js";
import { quantize } from "../../src/ops/quantize.js";
import { max, sum } from "../../src/ops/reduce.js";
import { select } from "../../src/ops/select.js";
import { topK } from "../../src/ops/top-k.js";
import { exp, round, sqrt } from "../../src/ops/unary.js";
import { schemes } from "../../src/quant/schemes/schemes.js";
import { tensor } from "../../src/tensor/create.js";
import { scope } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { present } from "../../src/testing/bench.js";
import { everyCase } from "../../src/testing/every-case.js";
import { upload } from "../../src/testing/operands.js";
import { oracle } from "../../src/testing/oracle/oracle.js";
import { hostile } from "./hostile.js";

const ieee = oracle("ieee");
const { fround } = Math;
const U = 2 ** -24;

/** A number that is known up to `bound`. */
function about(value: readonly number[], bound: readonly number[]): Tensor {
  const x = tensor(ieee, value);
  ieee.assign(x, Float64Array.from(value), Float64Array.from(bound));
  return x;
}
const boundOf = async (x: Tensor): Promise<number[]> => [...(await ieee.inspect(x)).bound];
const valueOf = async (x: Tensor): Promise<number[]> => [...(await ieee.inspect(x)).value];

describe("bounds hold and are near what occurs", () => {
  test("sums and products in any order", async () => {
    const random = new Random(3);
    let closest = 0;
    for (let n = 1; n <= 16; n++) {
      const [a, b] = [0, 1].map(() => Float32Array.from({ length: n }, () => random.normal()));
      const y = matmul(tensor(ieee, a, [1, n]), tensor(ieee, b, [n, 1]));
      const { value, bound } = await ieee.inspect(y);
      for (let trial = 0; trial < 200; trial++) {
        const terms = Array.from(a, (x, i) => fround(x * b[i]));
        while (terms.length > 1) {
          const [term] = terms.splice(random.integer(terms.length), 1);
          const at = random.integer(terms.length);
          terms[at] = fround(terms[at] + term);
        }
        const error = Math.abs(terms[0] - value[0]);
        expect(error).toBeLessThanOrEqual(bound[0]);
        closest = Math.max(closest, error / bound[0]);
      }
    }
    expect(closest).toBeGreaterThan(1 / 50);
  });

  test.each(["ieee", "wgsl"] as const)("whatever is composed, %s", async (accuracy) => {
    const backend = await hostile(accuracy);
    const judge = oracle(accuracy);
    for (const name of [
      "rmsNorm",
      "softmax",
      "swiglu",
      "attention",
      "qkNormRope",
      "expertMlp",
      "crossEntropy",
      "adamW",
    ]) {
      const closest = { value: 0 };
      for (const call of fc.sample(everyCase.get(name)!.calls(backend.features), { numRuns: 25, seed: 1 })) {
        const on = (where: typeof backend): readonly Tensor[] =>
          scope<readonly Tensor[]>(() =>
            present(
              call.run(
                call.inputs.map((input) => upload(where, input)),
                where,
              ),
            ),
          );
        const [got, expected] = [on(backend), on(judge)];
        for (const [i, output] of expected.entries()) {
          const { value, bound } = await judge.inspect(output);
          const numbers = await got[i].data();
          value.forEach((y, j) => {
            if (bound[j] > 0 && bound[j] < Infinity) {
              closest.value = Math.max(closest.value, Math.abs(numbers[j] - y) / bound[j]);
            }
          });
        }
      }
      expect(closest.value, name).toBeLessThanOrEqual(1);
      expect(closest.value, name).toBeGreaterThan(1 / 50);
    }
  });

  test("wgsl promises no more than ieee", async () => {
    const wgsl = oracle("wgsl");
    let larger = 0;
    for (const [name, { calls }] of everyCase) {
      // Of other functions WGSL asks more than 4 ulp here and there: inverse square roots, exp and log near 0 and 1.
      if (!/^(binary|reduce|scan|matmul|linear|expertLinear|combine|rope|unary.(sqrt|sin|cos|tanh))/.test(name))
        continue;
      for (const call of fc.sample(calls(ieee.features), { numRuns: 4, seed: 2 })) {
        const on = (where: typeof ieee): readonly Tensor[] =>
          present(
            call.run(
              call.inputs.map((input) => upload(where, input)),
              where,
            ),
          );
        const [strict, loose] = [on(ieee), on(wgsl)];
        for (const [i, output] of strict.entries()) {
          const [a, b] = [await ieee.inspect(output), await wgsl.inspect(loose[i])];
          a.bound.forEach((bound, j) => {
            if (!(bound <= b.bound[j] * (1 + 1e-12)))
              expect.fail(`${name}: ${bound} under ieee, ${b.bound[j]} under wgsl`);
            if (b.bound[j] > bound) larger++;
          });
        }
      }
    }
    expect(larger).toBeGreaterThan(100);
  });
});

describe("what is exact has no bound", () => {
  test("moves, integers and copies of zero", async () => {
    const x = tensor(ieee, [1, 2, 3, 0.1]);
    expect(await boundOf(gatherRows(x, tensor(ieee, Int32Array.of(3, -1, 0))))).toEqual([0, 0, 0]);
    expect(await boundOf(cast(tensor(ieee, Int32Array.of(7, -3)), "f32"))).toEqual([0, 0]);
    expect(await boundOf(mul(x, 0))).toEqual([0, 0, 0, 0]);
    expect(await boundOf(add(x, x))).toEqual([2, 4, 6, 2 * fround(0.1)].map((y) => U * y));
  });

  test("an attribute may be taken rounded or not", async () => {
    expect(await boundOf(fill(ieee, [2], 0.1))).toEqual([0, 0].map(() => Math.abs(0.1 - fround(0.1))));
    expect(await boundOf(fill(ieee, [2], 0.5, { step: 2 }))).toEqual([0, 0]);
  });

  test("a row without a visible key is 0", async () => {
    const q = tensor(ieee, [1, 2], [1, 1, 1, 2]);
    const pool = tensor(ieee, [3, 4], [1, 1, 2]);
    const queries = tensor(ieee, Int32Array.of(0, 0, 0, 1), [1, 1, 4]);
    const keys = tensor(ieee, Int32Array.of(1, 0, 0), [1, 1, 3]);
    const y = attention(q, pool, pool, queries, keys, { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 });
    expect([await valueOf(y), await boundOf(y)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  test("rounding to q8_0 of exact numbers", async () => {
    const x = tensor(
      ieee,
      Float32Array.from({ length: 33 }, (_, i) => Math.sin(i)),
      [1, 33],
    );
    const w = tensor(ieee, [...Array<number>(33).keys()], [1, 33]);
    expect((await boundOf(dequantize(quantize(x, schemes.q8_0)))).every((bound) => bound === 0)).toBe(true);
    const [bound] = await boundOf(linear(x, w, undefined, { activations: "q8" }));
    expect(bound).toBeLessThan(1e-3);
  });
});

describe("bitcasts", () => {
  test("keep the word, and a number that is moved and cast back keeps its bound", async () => {
    const x = about([1.1, -2], [1e-3, 0]);
    const words = bitcast(x, "u32");
    expect(await words.data()).toEqual(new Uint32Array(Float32Array.of(1.1, -2).buffer));
    expect(await boundOf(words)).toEqual([Infinity, 0]); // one bit more may be any other integer
    expect(await boundOf(bitcast(words, "f32"))).toEqual([1e-3, 0]);
    expect(await boundOf(bitcast(add(words, 0), "f32"))).toEqual([Infinity, 0]);
  });

  test("give host words their f32 meaning", async () => {
    const y = bitcast(tensor(ieee, Uint32Array.of(0x3f800000, 0x40490fdb)), "f32");
    expect(await valueOf(y)).toEqual([1, fround(Math.PI)]);
  });
});

describe("decisions", () => {
  test("a comparison within its bounds is in doubt, and what it selects covers both", async () => {
    const below = less(about([1, 1, 1], [0.25, 0.25, 0]), tensor(ieee, [1.2, 1.3, 1]));
    expect([await valueOf(below), await boundOf(below)]).toEqual([
      [1, 1, 0],
      [1, 0, 0],
    ]);
    const y = select(below, tensor(ieee, [10, 10, 10]), tensor(ieee, [7, 7, 7]));
    expect([await valueOf(y), await boundOf(y)]).toEqual([
      [10, 10, 7],
      [3, 0, 0],
    ]);
    expect(await boundOf(equal(about([1, 1], [0.25, 0.25]), tensor(ieee, [1, 2])))).toEqual([1, 0]);
  });

  test("casts and roundings near a step", async () => {
    expect(await boundOf(cast(about([2.9, 2.5], [0.2, 0.2]), "i32"))).toEqual([1, 0]);
    expect(await boundOf(round(about([2.4, 2.1], [0.2, 0.2])))).toEqual([1, 0]);
  });

  test("the order of numbers that may change places", async () => {
    const { values, indices } = topK(about([3, 1, 3.1, 0], [0.2, 0, 0.2, 0]), 3);
    expect(await valueOf(values)).toEqual([3.1, 3, 1]);
    expect((await boundOf(values)).map((bound) => bound.toFixed(3))).toEqual(["0.200", "0.200", "0.000"]);
    expect([await valueOf(indices), await boundOf(indices)]).toEqual([
      [2, 0, 1],
      [Infinity, Infinity, 0],
    ]);
    const chosen = gatherRows(tensor(ieee, [5, 6, 7, 8]), indices);
    expect(await boundOf(chosen)).toEqual([Infinity, Infinity, 0]);
  });

  test("exact ties go to the lower index without doubt", async () => {
    const { indices } = topK(tensor(ieee, [1, 2, 2, 0]), 4);
    expect([await valueOf(indices), await boundOf(indices)]).toEqual([
      [1, 2, 0, 3],
      [0, 0, 0, 0],
    ]);
  });

  test("a number near the edge between two codes may get either", async () => {
    const values = [127, 0.5, 10.2, ...Array<number>(29).fill(3)];
    const x = about(
      values,
      values.map((_, i) => (i === 0 ? 0 : 0.01)),
    );
    const bounds = await boundOf(dequantize(quantize(x, schemes.q8_0)));
    expect(bounds.slice(0, 4).every((bound) => bound >= 1 && bound < 1.01)).toBe(true); // they share a word with 0.5
    expect(bounds.slice(4).every((bound) => bound < 0.01)).toBe(true);
  });
});

describe("where nothing can be promised", () => {
  test("f32 may overflow, a divisor or an argument may leave the domain", async () => {
    expect(await boundOf(mul(tensor(ieee, [1e30, 1]), tensor(ieee, [1e30, 2])))).toEqual([Infinity, 2 * U]);
    expect(await boundOf(div(tensor(ieee, [1]), about([0.1], [0.2])))).toEqual([Infinity]);
    expect(await boundOf(sqrt(about([0.1], [0.2])))).toEqual([Infinity]);
    expect(await boundOf(exp(about([80], [20])))).toEqual([Infinity]);
    // In some order, though not in this one.
    expect(await boundOf(sum(tensor(ieee, [3e38, -3e38, 3e38])))).toEqual([Infinity]);
  });

  test("NaN and infinities mean something under ieee alone", async () => {
    const x = [NaN, Infinity, 1];
    const y = sub(tensor(ieee, x), 1);
    expect([await valueOf(y), await boundOf(y)]).toEqual([
      [NaN, Infinity, 0],
      [0, 0, 0],
    ]);
    expect(await boundOf(sum(tensor(ieee, [1, NaN])))).toEqual([0]);
    expect(await boundOf(max(tensor(ieee, [1, NaN])))).toEqual([0]);
    const wgsl = oracle("wgsl");
    const { bound } = await wgsl.inspect(sub(tensor(wgsl, x), 1));
    expect([...bound].slice(0, 2)).toEqual([Infinity, Infinity]);
  });
});

test("the oracle's memory is counted and given back", async () => {
  const own = oracle("ieee");
  const before = own.memory.usage();
  const x = tensor(own, [1, 2, 3]);
  expect(own.memory.usage()).toEqual({ buffers: before.buffers + 1, bytes: before.bytes + 12, scratch: 0 });
  scope(() => void sum(add(x, x)));
  x.dispose();
  expect(own.memory.usage()).toEqual(before);
  await own[Symbol.asyncDispose]();
});

test("steps that f32 cannot take", async () => {
  const x = tensor(ieee, [1, 2]);
  ieee.assign(x, Float64Array.of(1 + 1e-12, 2));
  expect((await ieee.inspect(sub(x, 1))).value[0]).toBeCloseTo(1e-12, 15);
  expect(await x.data()).toEqual(Float32Array.of(1, 2));
});
