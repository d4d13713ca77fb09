// Mixtures of unlike experts: capacities against a loop on the host, edges, errors. The laws are in test/laws/expert-mixture.test.ts.
import {
  allParameters, ConfigError, ConstantExperts, disposeAll, ExpertMixture, Experts, IdentityExperts, LayerExpert, MoELayer, mul, parameters,
  randomWeights, reshape, ShapeError, SigmoidRouter, slice, SwigluMlp, tensor, TopKRouter, trace, valueAndGrad, sum, ZeroExperts, type Backend, type ExpertGroup, type Router,
  type Tensor, type Weights,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { bits, expectNoLeak, mask, normal, numbers } from "../tensor/numbers.js";

let backend: Backend;
let w: Weights;
beforeAll(async () => {
  backend = await cpu();
  w = randomWeights(backend, 3, { initializerRange: 0.7 });
});
const D = 4;
const router = (numExpertsPerTok: number, normTopkProb = false): Router => new TopKRouter({ numExpertsPerTok, normTopkProb }); // prettier-ignore
const packed = (at: number | string, numExperts: number, moeIntermediateSize: number): Experts =>
  new Experts(w.at("groups").at(at), { numExperts, hiddenSize: D, moeIntermediateSize });
const layer = (capacityFactor?: number): LayerExpert =>
  new LayerExpert(new SwigluMlp(w.at("layer"), { hiddenSize: D, intermediateSize: 3 }), { capacityFactor });
const mixtureOf = (groups: readonly ExpertGroup[], by: Router): ExpertMixture =>
  new ExpertMixture(w, { hiddenSize: D, router: by, groups });

/** Chooses what it is told, with weights 1. */
const told = (experts: readonly number[], shape: readonly number[], normTopkProb = false): Router => ({
  rowWise: true,
  normTopkProb,
  route: (logits) => ({
    logits,
    experts: tensor(backend, experts, shape, "i32"),
    weights: tensor(backend, experts.map((e) => (e < 0 ? 0 : 1)), shape), // prettier-ignore
    dropped: undefined,
  }),
});

describe("ExpertMixture", () => {
  test("of one packed group is MoELayer to the bit, with a shared expert too", async () => {
    const shared = { sharedExpertIntermediateSize: 5, sharedExpertGate: true };
    const [one, other] = [
      new MoELayer(w, { hiddenSize: D, moeIntermediateSize: 3, numExperts: 5, router: router(2), ...shared }),
      new ExpertMixture(w, {
        hiddenSize: D,
        router: router(2),
        groups: [new Experts(w.at("experts"), { numExperts: 5, hiddenSize: D, moeIntermediateSize: 3 })],
        ...shared,
      }),
    ];
    const x = normal(backend, 1, [2, 3, D]);
    expect(await bits(other.forward(x).output)).toEqual(await bits(one.forward(x).output));
    const isolated = new ExpertMixture(w, { hiddenSize: D, router: router(2), groups: other.groups, isolateRouter: true, isolateExperts: true }); // prettier-ignore
    const { grads } = valueAndGrad(new Map([...parameters(isolated), ["x", x]]), () => ({ loss: sum(isolated.forward(x).output, [0, 1, 2]) })); // prettier-ignore
    expect(await numbers(grads.get("x")!)).toEqual(Array(24).fill(0));
    expect((await numbers(grads.get("gate.weight")!)).some((g) => g !== 0)).toBe(true);
  });

  test("gives each group the slots of its experts: widths, identity, constants, a layer, side by side", async () => {
    const groups = [packed(0, 2, 3), packed(1, 1, 7), new IdentityExperts(), new ConstantExperts(w.at("c"), { numExperts: 2, hiddenSize: D }), new ZeroExperts({ numExperts: 2 }), layer()]; // prettier-ignore
    const x = normal(backend, 2, [1, 10, D]);
    const one = (e: number): Tensor => tensor(backend, Array(10).fill(e), [10, 1], "i32");
    const ones = tensor(backend, Array(10).fill(1), [10, 1]);
    const flat = tensor(backend, await numbers(x), [10, D]);
    const call = { batch: 1, capacity: undefined };
    const all = await Promise.all(
      groups.flatMap((group) =>
        Array.from({ length: group.numExperts }, async (_, e) => {
          const forward = (group as ExpertGroup).forward?.bind(group);
          return forward ? numbers(forward(flat, one(e), ones, call)) : Array<number>(10 * D).fill(0);
        }),
      ),
    );
    // Token t visits expert t; the last one none.
    const mixture = mixtureOf(groups, told([0, 1, 2, 3, 4, 5, 6, 7, 8, -1], [1, 10, 1]));
    const expected = all.flatMap((y, e) => y.slice(e * D, (e + 1) * D));
    expect(all).toHaveLength(9);
    expect(await numbers(mixture.forward(x).output)).toEqual([...expected, 0, 0, 0, 0]);
  });

  test("a capacity keeps each batch row's first slots, reports the rest as dropped, and normalises what is kept", async () => {
    const drawn = fc.record({ B: fc.integer({ min: 1, max: 2 }), T: fc.integer({ min: 1, max: 5 }), factors: fc.array(fc.constantFrom(undefined, 0, 0.4, 1, 3), { minLength: 3, maxLength: 3 }), norm: fc.boolean(), seed: fc.nat(100) }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(drawn, async ({ B, T, factors, norm, seed }) => {
        const [E, k] = [3, 2];
        const x = normal(backend, seed, [B, T, D]);
        const free = mixtureOf(factors.map(() => layer()), router(k, norm)).forward(x).routing; // prettier-ignore
        const { experts, weights, dropped } = mixtureOf(factors.map((factor) => layer(factor)), router(k, norm)).forward(x).routing; // prettier-ignore
        const chosen = await numbers(free.experts);
        const weighed = await numbers(free.weights);
        const used = new Map<string, number>();
        const over = Array<number>(E).fill(0);
        const kept = chosen.map((e, i) => {
          const factor = factors[e];
          const key = `${Math.floor(i / (T * k))} ${e}`;
          const rank = used.get(key) ?? 0;
          used.set(key, rank + 1);
          if (factor === undefined || rank < Math.ceil((T * k * factor) / E)) return true;
          over[e]++;
          return false;
        });
        expect(await numbers(experts)).toEqual(chosen.map((e, i) => (kept[i] ? e : -1)));
        if (factors.every((factor) => factor === undefined)) expect(dropped).toBeUndefined();
        else expect(await numbers(dropped!)).toEqual(over);
        const after = await numbers(weights);
        for (let r = 0; r < B * T; r++) {
          const slots = [0, 1].filter((j) => kept[r * k + j]);
          const total = norm ? slots.reduce((sum, j) => sum + weighed[r * k + j], 0) : 1;
          for (const j of [0, 1]) {
            const expected = slots.includes(j) ? weighed[r * k + j] / total : 0;
            expect(Math.abs(after[r * k + j] - expected)).toBeLessThanOrEqual(4 * 2 ** -24 * expected);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  test("makes up for drops to the router's own sum of weights", async () => {
    const scaled = new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true, routedScalingFactor: 2.5 });
    const groups = [layer(0), packed(0, 2, 3)];
    const { weights, experts } = mixtureOf(groups, scaled).forward(normal(backend, 4, [1, 6, D])).routing;
    const [w, e] = [await numbers(weights), await numbers(experts)];
    expect(e).toContain(-1);
    for (let t = 0; t < 6; t++) expect(w[2 * t] + w[2 * t + 1]).toBeCloseTo(2.5, 5);
  });

  test("adds its drops to those of the router", async () => {
    const by = told([0, 0, 0, 1], [1, 4, 1]);
    const dropping: Router = { ...by, route: (logits) => ({ ...by.route(logits), dropped: tensor(backend, [5, 7], [2], "i32") }) }; // prettier-ignore
    const { routing } = mixtureOf([layer(1), new ZeroExperts()], dropping).forward(normal(backend, 1, [1, 4, D]));
    // Room for ceil(4 * 1 * 1 / 2) of three.
    expect(await numbers(routing.dropped!)).toEqual([6, 7]);
  });

  test("a layer runs on as many rows as its capacity has, on all without one, and not at all with none", () => {
    const seen: (readonly number[])[] = [];
    const spy = { forward: (x: Tensor): Tensor => (seen.push(x.shape), x) };
    const x = normal(backend, 1, [2, 6, D]);
    for (const capacityFactor of [undefined, 1, 0.5, 0, 9]) {
      mixtureOf([new LayerExpert(spy, { capacityFactor }), packed(0, 2, 3)], router(1)).forward(x);
    }
    expect(seen).toEqual([[12, D], [2 * 2, D], [2, D], [12, D]]); // prettier-ignore
  });

  test("a layer may make anything of rows that are not its own", async () => {
    const wild = { forward: (x: Tensor): Tensor => mul(x, tensor(backend, [1, Infinity, NaN], [3, 1])) };
    const mixture = mixtureOf([new LayerExpert(wild), new IdentityExperts()], told([0, 1, 1], [1, 3, 1]));
    const x = normal(backend, 1, [1, 3, D]);
    expect(await numbers(mixture.forward(x).output)).toEqual(await numbers(x));
  });

  test("zero experts run no op, identity and constant experts no product of matrices", () => {
    const x = normal(backend, 1, [1, 3, D]);
    const products = (groups: readonly ExpertGroup[]): string[] =>
      trace(() => mixtureOf(groups, router(1)).forward(x))
        .lines.map(({ op }) => op)
        .filter((op) => /matmul|linear|expert/i.test(op));
    const costless = [new IdentityExperts(), new ZeroExperts(), new ConstantExperts(w.at("c"), { hiddenSize: D })];
    expect(products(costless)).toEqual(["linear", "combineExperts"]);
    const count = (groups: readonly ExpertGroup[]): number => trace(() => mixtureOf(groups, router(1)).forward(x)).lines.length; // prettier-ignore
    expect(count([new ZeroExperts(), new ZeroExperts(), new ZeroExperts()])).toBe(count([new ZeroExperts({ numExperts: 3 })])); // prettier-ignore
  });

  test("no token at all, all tokens masked, and one expert have defined values", async () => {
    const groups = [packed(0, 1, 3), new IdentityExperts(), new ConstantExperts(w.at("c"), { hiddenSize: D }), layer(), layer(1)]; // prettier-ignore
    const mixture = mixtureOf(groups, router(2, true));
    for (const shape of [[1, 0, D], [0, 3, D]]) expect(mixture.forward(normal(backend, 1, shape)).output.shape).toEqual(shape); // prettier-ignore
    const x = tensor(backend, Array(3 * D).fill(NaN), [1, 3, D]);
    const { output, routing } = mixture.forward(x, { rowMask: mask(backend, [0, 0, 0], [1, 3]) });
    expect(await numbers(output)).toEqual(Array(12).fill(0));
    expect(await numbers(routing.experts)).toEqual(Array(6).fill(-1));
    const one = normal(backend, 1, [1, 3, D]);
    const alone = mixtureOf([new IdentityExperts()], router(1));
    expect(await numbers(alone.forward(one).output)).toEqual(await numbers(one));
  });

  test("parameters have paths by group, and disposeAll frees them", async () => {
    await expectNoLeak(backend, () => {
      const mixture = mixtureOf([packed(0, 2, 3), new IdentityExperts(), new ConstantExperts(w.at("groups").at(2), { hiddenSize: D }), layer()], router(1)); // prettier-ignore
      expect([...allParameters(mixture)].map(([path, { shape }]) => [path, shape])).toEqual([
        ["gate.weight", [5, D]],
        ["groups.0.gateUpProj", [2, 6, D]],
        ["groups.0.downProj", [2, D, 3]],
        ["groups.2.constants", [1, D]],
        ["groups.3.layer.gateUpProj.weight", [6, D]],
        ["groups.3.layer.downProj.weight", [D, 3]],
      ]);
      disposeAll(mixture);
    });
  });

  test("refuses what cannot be", () => {
    expect(() => mixtureOf([], router(1))).toThrow(/ExpertMixture: at least one group of experts must be given/);
    expect(() => mixtureOf([new ZeroExperts()], undefined as never)).toThrow(/ExpertMixture: a router must be given/);
    for (const make of [
      () => new ZeroExperts({ numExperts: 0 }),
      () => new IdentityExperts({ numExperts: 1.5 }),
      () => new ConstantExperts(w, { numExperts: -1, hiddenSize: D }),
      () => mixtureOf([{ numExperts: 0 }], router(1)),
      () => layer(-1),
      () => layer(NaN),
      () => new LayerExpert(undefined as never),
      () => new ConstantExperts(w, {} as never),
      () => new Experts(w, { numExperts: 0, hiddenSize: D, moeIntermediateSize: 3 }),
      () => mixtureOf(undefined as never, router(1)),
      () => mixtureOf([{ numExperts: 1, capacityFactor: NaN }], router(1)),
      () => mixtureOf([{ numExperts: 1, capacityFactor: -1 }], router(1)),
    ])
      // prettier-ignore
      expect(make).toThrow(ConfigError);
    const x = normal(backend, 1, [1, 2, D]);
    expect(() => mixtureOf([new ZeroExperts()], router(2)).forward(x)).toThrow(
      /at most the number of experts 1, got 2/,
    );
    expect(() => mixtureOf([new ZeroExperts()], router(1)).forward(normal(backend, 1, [2, D]))).toThrow(ShapeError);
    const wide = new ConstantExperts(w, { hiddenSize: D + 1 });
    expect(() => mixtureOf([wide], router(1)).forward(x)).toThrow(/ConstantExperts: constants must have shape/);
    const flat = { numExperts: 1, forward: (rows: Tensor) => reshape(rows, [rows.size]) };
    expect(() => mixtureOf([flat], router(1)).forward(x)).toThrow(/what a group gives must have shape/);
    const narrow = new LayerExpert({ forward: (x) => slice(x, [0, 0], [x.shape[0], 2]) });
    expect(() => mixtureOf([narrow], router(1)).forward(x)).toThrow(/LayerExpert: what the layer gives must have shape \[2,4\]/); // prettier-ignore
  });
});
