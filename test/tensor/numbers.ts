// What tests of blocks share: numbers on the host, and the memory that a piece of code leaves behind.
import { Random, tensor, type Backend, type Tensor } from "qwen-blocks";
import { expect } from "vitest";

/** Half a unit in the last place of an f32 around 1: the error of one rounding, relative. */
export const u = 2 ** -24;

export async function numbers(x: Tensor): Promise<number[]> {
  return [...(await x.data())];
}

/** The bits of a tensor, so that -0 and NaN count. */
export async function bits(x: Tensor): Promise<Uint32Array> {
  const { buffer } = await x.data();
  return new Uint32Array(buffer);
}

export const normals = (seed: number, count: number, std = 1): number[] => {
  const random = new Random(seed);
  return Array.from({ length: count }, () => Math.fround(std * random.normal()));
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);
export const normal = (backend: Backend, seed: number, shape: readonly number[], std = 1): Tensor =>
  tensor(backend, normals(seed, sizeOf(shape), std), shape);
export const ints = (backend: Backend, data: readonly number[], shape: readonly number[] = [data.length]): Tensor =>
  tensor(backend, data, shape, "i32");
export const mask = (backend: Backend, data: readonly number[], shape: readonly number[] = [data.length]): Tensor =>
  tensor(backend, data, shape, "u32");

/** Live buffers and their bytes. */
export const usage = ({ memory }: Backend): readonly number[] => [memory.usage().buffers, memory.usage().bytes];

/** Runs `fn` and expects the backend to hold afterwards what it held before. */
export async function expectNoLeak(backend: Backend, fn: () => unknown): Promise<void> {
  const before = usage(backend);
  await fn();
  expect(usage(backend)).toEqual(before);
}

/** Each number within its own bound of what it should be. */
export function expectWithin(actual: readonly number[], expected: readonly number[], bound: readonly number[]): void {
  expect(actual).toHaveLength(expected.length);
  const worst = actual.findIndex((x, i) => !(Math.abs(x - expected[i]) <= bound[i]));
  if (worst < 0) return;
  expect.fail(`element ${worst} is ${actual[worst]}, should be ${expected[worst]} within ${bound[worst]}`);
}
