// Ways to compute the same thing, held together by bounds instead of tolerances. The oracle goes every way too. In its f64 two ways must agree
// to what f64 loses, so the law itself is checked far more sharply than f32 could; and what a backend computes in any order of summation must
// lie within the oracle's bound of that way. Two results of a backend then differ by at most the sum of their bounds.
import fc from "fast-check";
import { scope, type Backend, type Kernels, type Tensor } from "qwen-blocks";
import { oracle, type Oracle } from "qwen-blocks/testing";
import { expect } from "vitest";
import { expectNoLeak } from "../tensor/numbers.js";

/** Makes everything that it needs on the backend it is given; what it returns is read and freed. */
export type Way = (where: Backend) => readonly Tensor[];

/** f64 has 2^-29 of the error of f32, and errors are at least linear in it; twice, for two values compared. */
const F64 = 2 ** -28;

/** How many numbers had a bound; a bound of infinity promises nothing, so most must have a better one. */
export class Tally {
  #finite = 0;
  #all = 0;

  count(bound: number): boolean {
    this.#all++;
    if (!Number.isFinite(bound)) return false;
    this.#finite++;
    return true;
  }

  expectMost(): void {
    expect(this.#finite / this.#all).toBeGreaterThan(0.5);
  }
}

interface Numbers {
  readonly value: ArrayLike<number>;
  readonly bound: ArrayLike<number>;
}

/** What the oracle said of ways that came from drawn inputs. Every backend gets the same draws, for which it need not compute again. */
const said = new Map<string, Promise<Numbers>>();

/** `by`: all that the ways were drawn from, or the oracle to judge them, where they depend on that. */
export async function expectSame(
  backend: Backend,
  ways: Readonly<Record<string, Way>>,
  tally: Tally,
  by: { readonly drawn: readonly unknown[] } | { readonly judge: Oracle },
): Promise<void> {
  const { accuracy } = backend.features;
  const names = Object.keys(ways);
  const estimateOf = (name: string): Promise<Numbers> => {
    if ("judge" in by) return estimate(by.judge, ways[name]);
    const key = fc.stringify([accuracy, name, names, by.drawn]);
    if (!said.has(key)) said.set(key, estimate(oracle(accuracy), ways[name]));
    return said.get(key)!;
  };
  let first: Numbers | undefined;
  for (const [name, way] of Object.entries(ways)) {
    const expected = await estimateOf(name);
    await expectNoLeak(backend, async () => expectWithinBounds(name, await read(backend, way), expected, tally));
    first ??= expected;
    expect(expected.value, name).toHaveLength(first.value.length);
    expectSameInF64(name, expected, first);
  }
}

function expectSameInF64(name: string, one: Numbers, other: Numbers): void {
  for (let i = 0; i < one.value.length; i++) {
    const reach = F64 * (one.bound[i] + other.bound[i]);
    if (reach === Infinity || Math.abs(one.value[i] - other.value[i]) <= reach) continue;
    expect.fail(`${name}: in f64 element ${i} is ${one.value[i]} and should be ${other.value[i]} within ${reach}`);
  }
}

/** The same way with the 16 primitives alone lies within the same bounds. */
export async function expectComposed(backend: Backend, way: Way, tally: Tally): Promise<void> {
  const judge = oracle(backend.features.accuracy);
  const expected = await estimate(judge, way);
  expectWithinBounds("composed", await read(primitivesOf(backend), way), expected, tally);
}

const primitives = [
  ..."fill cast permute slice writeSlice gatherRows scatterRows unary binary".split(" "),
  ..."select reduce scan topK matmul quantize dequantize".split(" "),
];
function primitivesOf(backend: Backend): Backend {
  const kernels = Object.fromEntries(primitives.map((name) => [name, backend.kernels[name as keyof Kernels]]));
  return { ...backend, kernels: kernels as unknown as Kernels };
}

export function expectWithinBounds(
  name: string,
  got: readonly number[],
  { value, bound }: Numbers,
  tally: Tally,
): void {
  expect(got, name).toHaveLength(value.length);
  for (const [i, y] of got.entries()) {
    if (!tally.count(bound[i]) || Math.abs(y - value[i]) <= bound[i]) continue;
    expect.fail(`${name}: element ${i} is ${y}, ${Math.abs(y - value[i])} off where ${bound[i]} is allowed`);
  }
}

async function read(where: Backend, way: Way): Promise<number[]> {
  const outputs = scope(() => way(where));
  try {
    const all = await Promise.all(outputs.map((y) => y.data()));
    return all.flatMap((data) => [...data]);
  } finally {
    for (const y of outputs) y.dispose();
  }
}

async function estimate(judge: Oracle, way: Way): Promise<Numbers> {
  const outputs = scope(() => way(judge));
  const all = await Promise.all(outputs.map((y) => judge.inspect(y)));
  for (const y of outputs) y.dispose();
  return { value: all.flatMap(({ value }) => [...value]), bound: all.flatMap(({ bound }) => [...bound]) };
}
