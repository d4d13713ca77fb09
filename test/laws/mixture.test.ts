// Laws of mixtures of experts: the order of experts means nothing, visiting all of them is the dense mixture, rows are independent, and weights
// sum to 1 if and only if the router normalises them.
import {
  add, disposeAll, MoELayer, mul, reshape, slice, softmax, sum, swiglu, linear, tensor, TopKRouter, weightsFrom, type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { oracle } from "qwen-blocks/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals } from "../tensor/numbers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

interface Mixture {
  readonly D: number;
  readonly I: number;
  readonly E: number;
  readonly k: number;
  readonly T: number;
  readonly normTopkProb: boolean;
  readonly seed: number;
}
const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const mixtures = fc
  .record({ D: size(6), I: size(5), E: size(6), k: fc.nat(5), T: size(5), normTopkProb: fc.boolean(), seed: fc.nat() })
  .map(({ k, ...rest }): Mixture => ({ ...rest, k: 1 + (k % rest.E) }));

const shuffled = (count: number, by: readonly number[]): number[] =>
  Array.from({ length: count }, (_, i) => i).sort((a, b) => by[a] - by[b] || a - b);

/** The experts stand in this order, and the router's rows with them. */
function layerOf({ D, I, E, k, normTopkProb, seed }: Mixture, where: Backend, order: readonly number[]): MoELayer {
  const w = weightsFrom(where, (path, shape) => {
    const count = shape.reduce((product, extent) => product * extent, 1);
    const all = normals(seed + ["gate.weight", "experts.gateUpProj", "experts.downProj"].indexOf(path), count, 0.7);
    return tensor(where, order.flatMap((e) => all.slice((e * count) / E, ((e + 1) * count) / E)), shape); // prettier-ignore
  });
  const router = new TopKRouter({ numExpertsPerTok: k, normTopkProb });
  return new MoELayer(w, { hiddenSize: D, moeIntermediateSize: I, numExperts: E, router });
}
const inOrder = ({ E }: Mixture): number[] => [...Array(E).keys()];
const inputOf = ({ D, T, seed }: Mixture, where: Backend, from = 0, to = T): Tensor =>
  tensor(where, normals(seed + 9, T * D).slice(from * D, to * D), [1, to - from, D]);

/** What `use` makes of a layer, which is gone afterwards. */
const withLayer =
  (mixture: Mixture, order: readonly number[], use: (layer: MoELayer, where: Backend) => readonly Tensor[]): Way =>
  (where) => {
    const layer = layerOf(mixture, where, order);
    const outputs = use(layer, where);
    disposeAll(layer);
    return outputs;
  };

const sparse = (mixture: Mixture, order = inOrder(mixture)): Way =>
  withLayer(mixture, order, (layer, where) => [layer.forward(inputOf(mixture, where)).output]);

/** Every expert computes every token, weighted by its probability. */
const dense = (mixture: Mixture): Way =>
  withLayer(mixture, inOrder(mixture), ({ gate, experts }, where) => {
    const { D, I, T } = mixture;
    const x = inputOf(mixture, where);
    const p = softmax(linear(x, gate.weight)); // [1, T, E]
    const matrix = (of: unknown, e: number, shape: readonly number[]): Tensor =>
      reshape(slice(of as Tensor, [e, 0, 0], [1, ...shape]), shape);
    const parts = inOrder(mixture).map((e) => {
      const hidden = swiglu(linear(x, matrix(experts.gateUpProj, e, [2 * I, D])));
      return mul(linear(hidden, matrix(experts.downProj, e, [D, I])), slice(p, [0, 0, e], [1, T, 1]));
    });
    return [parts.reduce((total, part) => add(total, part))];
  });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  async function over(law: (tally: Tally, mixture: Mixture, draws: number[]) => Promise<void>): Promise<void> {
    const tally = new Tally();
    const draws = fc.array(fc.nat(), { minLength: 6, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(mixtures, draws, (mixture, by) => law(tally, mixture, by)),
      { numRuns: runs(40) },
    );
    tally.expectMost();
  }

  test("permuting the experts with the router's rows changes nothing", () =>
    over((tally, mixture, draws) =>
      expectSame(backend, { given: sparse(mixture), permuted: sparse(mixture, shuffled(mixture.E, draws)) }, tally, {
        drawn: [mixture, draws],
      }),
    ));

  test("k = E is the dense mixture, normalised or not", () =>
    over((tally, mixture) => {
      const all = { ...mixture, k: mixture.E };
      return expectSame(backend, { sparse: sparse(all), dense: dense(all) }, tally, { drawn: [mixture] });
    }));

  test("no token depends on the others", () =>
    over((tally, mixture) => {
      const tokens = [...Array(mixture.T).keys()];
      const singly = withLayer(mixture, inOrder(mixture), (layer, where) =>
        tokens.map((t) => layer.forward(inputOf(mixture, where, t, t + 1)).output),
      );
      return expectSame(backend, { together: sparse(mixture), singly }, tally, { drawn: [mixture] });
    }));

  test("weights sum to 1 if and only if they are normalised or all experts are visited", () =>
    over(async (tally, mixture) => {
      const sums = withLayer(mixture, inOrder(mixture), (layer, where) => [
        sum(layer.forward(inputOf(mixture, where)).routing.weights),
      ]);
      await expectSame(backend, { sums }, tally, { drawn: [mixture] });
      // What the oracle says of the sums holds of the backend's, which lie within its bounds.
      const judge = oracle(backend.features.accuracy);
      const { value, bound } = await judge.inspect(sums(judge)[0]);
      value.forEach((total, i) => {
        if (!Number.isFinite(bound[i])) return;
        if (mixture.normTopkProb || mixture.k === mixture.E) expect(Math.abs(total - 1)).toBeLessThan(2 ** -40);
        else expect(total + bound[i]).toBeLessThan(1);
      });
    }));
});
