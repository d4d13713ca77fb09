// More rows than any block, chunk or 15-bit number holds, and no multiple of one: each row still gives what it gives alone.
import { combineExperts, expertLinear, expertMlp, linear, slice, tensor, type Backend, type Tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { bits } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

const rows = 32_768 + 64 + 7;
const last = 64 + 7 + 5;
const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);
/** Numbers in [-0.5, 0.5) that differ from row to row. */
const numbersOf = (shape: readonly number[], step: number): Tensor =>
  tensor(
    backend,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * step) % 1009) / 1009 - 0.5),
    shape,
  );
const expertsOf = (k: number): Tensor =>
  tensor(backend, Int32Array.from({ length: rows * k }, (_, i) => ((i * 7) % 11) % 3), [rows, k]); // prettier-ignore
/** The last rows, from before row 32,768 on. */
const tail = (x: Tensor): Tensor => slice(x, [rows - last, ...x.shape.slice(1).map(() => 0)], [last, ...x.shape.slice(1)]); // prettier-ignore

describe(`of ${rows} rows the last give the bits they give alone`, () => {
  test("linear", async () => {
    const [x, weight] = [numbersOf([rows, 3], 7), numbersOf([5, 3], 11)];
    expect(await bits(tail(linear(x, weight)))).toEqual(await bits(linear(tail(x), weight)));
  });

  test("expertLinear, then combineExperts", async () => {
    const [x, weight, experts, shares] = [numbersOf([rows, 3], 7), numbersOf([3, 5, 3], 11), expertsOf(2), numbersOf([rows, 2], 13)]; // prettier-ignore
    const products = expertLinear(x, weight, experts);
    const alone = expertLinear(tail(x), weight, tail(experts));
    expect(await bits(tail(products))).toEqual(await bits(alone));
    expect(await bits(tail(combineExperts(products, shares)))).toEqual(await bits(combineExperts(alone, tail(shares))));
  });

  // Wide enough that the cpu takes them in two chunks.
  test("expertMlp", async () => {
    const x = numbersOf([rows, 128], 7);
    const [gateUp, down, experts, shares] = [numbersOf([3, 2, 128], 11), numbersOf([3, 128, 1], 5), expertsOf(1), numbersOf([rows, 1], 13)]; // prettier-ignore
    const all = expertMlp(x, gateUp, down, experts, shares);
    const alone = expertMlp(tail(x), gateUp, down, tail(experts), tail(shares));
    expect(await bits(tail(all))).toEqual(await bits(alone));
  });
});
