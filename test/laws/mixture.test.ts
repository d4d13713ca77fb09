// Laws of mixtures of experts under every router: the order of experts means nothing, visiting all of them is the dense mixture, rows are
// independent, an empty slot adds nothing, and weights sum to 1 if and only if the router normalises them.
import {
  add, cast, concat, disposeAll, div, expertMlp, fill, less, linear, MoELayer, mul, reshape, select, sigmoid, slice, softmax, sum, swiglu, tensor,
  weightsFrom, type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { oracle } from "qwen-blocks/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals } from "../tensor/numbers.js";
import {
  inOrder, normalizes, routerKinds, routerOf, routers, scalingFactor, type DrawnRouter, type RouterKind,
} from "./drawn-routers.js"; // prettier-ignore
import { expectSame, Tally, type Way } from "./expect-same.js";

interface Mixture {
  readonly D: number;
  readonly I: number;
  readonly B: number;
  readonly T: number;
  readonly router: DrawnRouter;
  readonly seed: number;
}
const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const mixturesOf = (kinds?: readonly RouterKind[]): fc.Arbitrary<Mixture> =>
  fc.record({ D: size(6), I: size(5), B: size(2), T: size(4), router: routers(kinds), seed: fc.nat() });

const shuffled = (count: number, by: readonly number[]): number[] =>
  inOrder(count).sort((a, b) => by[a] - by[b] || a - b);

/** The experts stand in this order, and the router's rows and bias with them. */
function layerOf({ D, I, router, seed }: Mixture, where: Backend, order: readonly number[]): MoELayer {
  const { E } = router;
  const w = weightsFrom(where, (path, shape) => {
    const count = shape.reduce((product, extent) => product * extent, 1);
    const all = normals(seed + ["gate.weight", "experts.gateUpProj", "experts.downProj"].indexOf(path), count, 0.7);
    return tensor(where, order.flatMap((e) => all.slice((e * count) / E, ((e + 1) * count) / E)), shape); // prettier-ignore
  });
  const made = routerOf(router, where, order);
  return new MoELayer(w, { hiddenSize: D, moeIntermediateSize: I, numExperts: E, router: made });
}
/** Of batch row b the tokens from..to, of all rows unless given. */
function inputOf({ D, B, T, seed }: Mixture, where: Backend, b?: number, from = 0, to = T): Tensor {
  const rows = b === undefined ? inOrder(B) : [b];
  const all = normals(seed + 9, B * T * D);
  const data = rows.flatMap((row) => all.slice((row * T + from) * D, (row * T + to) * D));
  return tensor(where, data, [rows.length, to - from, D]);
}

/** What `use` makes of a layer, which is gone afterwards. */
const withLayer =
  (mixture: Mixture, order: readonly number[], use: (layer: MoELayer, where: Backend) => readonly Tensor[]): Way =>
  (where) => {
    const layer = layerOf(mixture, where, order);
    const outputs = use(layer, where);
    disposeAll(layer);
    return outputs;
  };

const sparse = (mixture: Mixture, order = inOrder(mixture.router.E)): Way =>
  withLayer(mixture, order, (layer, where) => [layer.forward(inputOf(mixture, where)).output]);

/** The weights [..., E] of a router that visits all experts. */
function denseWeights({ kind, E, normTopkProb }: DrawnRouter, logits: Tensor): Tensor {
  if (kind === "uniform") return fill(logits.backend, logits.shape, normTopkProb ? 1 / E : 1);
  if (kind !== "sigmoid" && kind !== "groups") return softmax(logits);
  const scores = sigmoid(logits);
  return mul(normTopkProb ? div(scores, sum(scores)) : scores, scalingFactor);
}

/** Every expert computes every token. */
const dense = (mixture: Mixture): Way =>
  withLayer(mixture, inOrder(mixture.router.E), ({ gate, experts }, where) => {
    const { D, I, B, T, router } = mixture;
    const x = inputOf(mixture, where);
    const p = denseWeights(router, linear(x, gate.weight)); // [B, T, E]
    const matrix = (of: unknown, e: number, shape: readonly number[]): Tensor =>
      reshape(slice(of as Tensor, [e, 0, 0], [1, ...shape]), shape);
    const parts = inOrder(router.E).map((e) => {
      const hidden = swiglu(linear(x, matrix(experts.gateUpProj, e, [2 * I, D])));
      return mul(linear(hidden, matrix(experts.downProj, e, [D, I])), slice(p, [0, 0, e], [B, T, 1]));
    });
    return [parts.reduce((total, part) => add(total, part))];
  });

/** With one expert more, whose output is 0, in the place of every empty slot. */
const filledUp = (mixture: Mixture): Way =>
  withLayer(mixture, inOrder(mixture.router.E), ({ gate, experts, router }, where) => {
    const { D, B, T } = mixture;
    const x = inputOf(mixture, where);
    const routing = router.route(linear(x, gate.weight));
    const slots = routing.experts.shape[2];
    const empty = less(routing.experts, 0);
    const integer = (value: number): Tensor => fill(where, [], value, { dtype: "i32" });
    const silent = (of: unknown): Tensor =>
      concat([of as Tensor, fill(where, [1, ...(of as Tensor).shape.slice(1)], 0)], 0);
    const y = expertMlp(
      reshape(x, [B * T, D]),
      silent(experts.gateUpProj),
      silent(experts.downProj),
      reshape(select(empty, integer(mixture.router.E), routing.experts), [B * T, slots]),
      reshape(select(empty, fill(where, [], 1), routing.weights), [B * T, slots]),
    );
    return [reshape(y, x.shape)];
  });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  type Law = (tally: Tally, mixture: Mixture, draws: number[]) => Promise<void>;
  async function over(kinds: readonly RouterKind[] | undefined, law: Law): Promise<void> {
    const tally = new Tally();
    const draws = fc.array(fc.nat(), { minLength: 6, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(mixturesOf(kinds), draws, (mixture, by) => law(tally, mixture, by)),
      { numRuns: runs(40) },
    );
    tally.expectMost();
  }

  test("permuting the experts with the router's rows changes nothing", () =>
    over(
      routerKinds.filter((kind) => kind !== "groups"),
      (tally, mixture, draws) => {
        const permuted = sparse(mixture, shuffled(mixture.router.E, draws));
        return expectSame(backend, { given: sparse(mixture), permuted }, tally, { drawn: [mixture, draws] });
      },
    ));

  test("k = E is the dense mixture, normalised or not", () =>
    over(
      routerKinds.filter((kind) => kind !== "groups"),
      (tally, mixture) => {
        // p = 1, and room for everybody.
        const all = { ...mixture, router: { ...mixture.router, k: mixture.router.E, share: 2 * mixture.router.E } };
        if (all.router.kind === "topP") all.router.share = 1;
        return expectSame(backend, { sparse: sparse(all), dense: dense(all) }, tally, { drawn: [mixture] });
      },
    ));

  test("no token depends on the others", () =>
    over(["softmax", "uniform", "sigmoid", "groups", "topP"], (tally, mixture) => {
      const singly = withLayer(mixture, inOrder(mixture.router.E), (layer, where) =>
        inOrder(mixture.B).flatMap((b) =>
          inOrder(mixture.T).map((t) => layer.forward(inputOf(mixture, where, b, t, t + 1)).output),
        ),
      );
      return expectSame(backend, { together: sparse(mixture), singly }, tally, { drawn: [mixture] });
    }));

  test("an empty slot is an expert whose output is 0", () =>
    over(["topP", "capacity", "nextChoice", "expertChoice"], (tally, mixture) =>
      expectSame(backend, { sparse: sparse(mixture), filledUp: filledUp(mixture) }, tally, { drawn: [mixture] }),
    ));

  test("weights sum to 1 if and only if they are normalised or all experts are visited", () =>
    over(undefined, async (tally, mixture) => {
      const { router } = mixture;
      // The routing's softmax or sigmoid scores, all of them.
      const sums = withLayer(mixture, inOrder(router.E), (layer, where) => {
        const { weights, experts, logits } = layer.forward(inputOf(mixture, where)).routing;
        const visits = sum(cast(less(fill(where, [], -1, { dtype: "i32" }), experts), "f32"));
        return [sum(weights), visits, sum(denseWeights({ ...router, normTopkProb: false }, logits))];
      });
      await expectSame(backend, { sums }, tally, { drawn: [mixture] });
      // What the oracle says of the sums holds of the backend's, which lie within its bounds.
      const judge = oracle(backend.features.accuracy);
      const [total, visits, all] = await Promise.all(sums(judge).map((one) => judge.inspect(one)));
      const whole = router.kind === "sigmoid" || router.kind === "groups" ? scalingFactor : 1;
      total.value.forEach((found, i) => {
        if (!Number.isFinite(total.bound[i])) return;
        if (visits.value[i] === 0) expect(found).toBe(0);
        else if (normalizes(router)) expect(Math.abs(found - whole)).toBeLessThan(whole * 2 ** -40);
        else if (router.kind === "uniform") expect(found).toBe(router.k);
        else if (visits.value[i] === router.E) expect(Math.abs(found - all.value[i])).toBeLessThan(2 ** -40);
        else expect(found + total.bound[i]).toBeLessThan(all.value[i] + all.bound[i]);
      });
    }));
});
