// Laws of mixtures of unlike experts. Each says that a kind of expert equals something known: packed experts of one width, empty slots, weight
// times x. Outputs and all gradients are held together, and against the oracle's bounds, on every backend.
import {
  add, concat, ConstantExperts, disposeAll, emptySlots, ExpertMixture, Experts, fill, gatherRows, IdentityExperts, LayerExpert, less,
  mul, reshape, select, slice, sub, sum, SwigluMlp, tensor, TopKRouter, valueAndGrad, weightsFrom, zeros, ZeroExperts, type Backend,
  type ExpertGroup, type Router, type Routing, type Tensor, type Weights,
} from "qwen-blocks"; // prettier-ignore
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { mask, normals } from "../tensor/numbers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

interface Mixture {
  readonly D: number;
  readonly I: number;
  /** Packed experts, and experts of the kind that the law is about behind them. */
  readonly E: number;
  readonly others: number;
  readonly k: number;
  readonly B: number;
  readonly T: number;
  readonly normTopkProb: boolean;
  readonly capacityFactor: number;
  readonly seed: number;
}
const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const mixtures = fc
  .record({
    D: size(4),
    I: size(3),
    E: size(3),
    others: size(2),
    k: fc.nat(4),
    B: size(2),
    T: size(4),
    normTopkProb: fc.boolean(),
    capacityFactor: fc.constantFrom(0, 0.3, 0.6, 1, 1.5),
    seed: fc.nat(),
  }) // prettier-ignore
  .map(({ k, ...rest }): Mixture => ({ ...rest, k: 1 + (k % (rest.E + rest.others)) }));

const countOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

/** The gate, and one large matrix each for the experts: [E + others, ...]. */
const numbersOf = ({ D, I, E, others, seed }: Mixture) => ({
  gate: normals(seed, (E + others) * D, 0.7),
  gateUpProj: normals(seed + 1, (E + others) * 2 * I * D, 0.7),
  downProj: normals(seed + 2, (E + others) * D * I, 0.7),
  constants: normals(seed + 3, others * D, 0.7),
});

/** Weights of the experts from `first` on, whatever the block is that asks for them. */
function weightsAt(where: Backend, mixture: Mixture, first: number): Weights {
  const all = numbersOf(mixture);
  const total = mixture.E + mixture.others;
  return weightsFrom(where, (path, shape) => {
    const name = path.replace(".weight", "") as keyof typeof all;
    const start = name === "gate" ? 0 : (first * all[name].length) / (name === "constants" ? mixture.others : total);
    return tensor(where, all[name].slice(start, start + countOf(shape)), shape);
  });
}
const packed = (where: Backend, mixture: Mixture, first: number, numExperts: number): Experts =>
  new Experts(weightsAt(where, mixture, first), { numExperts, hiddenSize: mixture.D, moeIntermediateSize: mixture.I });
const feedForward = (where: Backend, mixture: Mixture, at: number): SwigluMlp =>
  new SwigluMlp(weightsAt(where, mixture, at), { hiddenSize: mixture.D, intermediateSize: mixture.I });

const routerOf = ({ k, normTopkProb }: Mixture): Router => new TopKRouter({ numExpertsPerTok: k, normTopkProb });

/** The router, with the slots of experts from E on empty; the weights of these, and all experts, go to `seen`. */
function withoutOthers(mixture: Mixture, seen?: (weights: Tensor, experts: Tensor) => void): Router {
  const inner = routerOf(mixture);
  return {
    rowWise: true,
    route(logits, rowMask): Routing {
      const routing = inner.route(logits, rowMask);
      const packedOnes = less(routing.experts, fill(logits.backend, [], mixture.E, { dtype: "i32" }));
      const kept = emptySlots(routing, packedOnes);
      seen?.(select(packedOnes, zeros(logits.backend, []), routing.weights), routing.experts);
      return kept;
    },
  };
}

interface Built {
  readonly groups: readonly ExpertGroup[];
  /** Those whose gradients are compared; all unless given. */
  readonly trained?: readonly ExpertGroup[];
  readonly router?: Router;
  /** Added to the output. */
  readonly also?: (x: Tensor) => Tensor;
}

/** Some tokens are padding, and hold this. */
interface Padding {
  readonly kept: readonly number[];
  readonly filler: number;
}

/** Output, gradients of x and the gate, and those of the experts' two matrices, joined over all groups. */
const way =
  (mixture: Mixture, build: (where: Backend) => Built, padding?: Padding): Way =>
  (where) => {
    const { D, B, T, seed } = mixture;
    const { groups, trained = groups, router = routerOf(mixture), also } = build(where);
    const layer = new ExpertMixture(weightsAt(where, mixture, 0), { hiddenSize: D, router, groups });
    const values = normals(seed + 9, B * T * D).map((v, i) => (padding && !padding.kept[Math.floor(i / D)] ? padding.filler : v)); // prettier-ignore
    const x = tensor(where, values, [B, T, D]);
    const rowMask = padding && mask(where, padding.kept, [B, T]);
    const direction = tensor(where, normals(seed + 8, B * T * D), [B, T, D]);
    const matrices = trained.map(matricesOf);
    const named = new Map(matrices.flatMap((pair, i) => pair.map((matrix, j) => [`${i} ${j}`, matrix] as const)));
    const { value, grads } = valueAndGrad(new Map([...named, ["x", x], ["gate", layer.gate.weight as Tensor]]), () => {
      const { output } = layer.forward(x, { rowMask });
      const y = also ? add(output, also(x)) : output;
      return { loss: sum(mul(y, direction), [0, 1, 2]), y };
    });
    const joined = [0, 1].map((j) => {
      const parts = matrices.map((pair, i) => reshape(grads.get(`${i} ${j}`)!, [pair[j].size]));
      return concat(parts, 0);
    });
    disposeAll([layer, groups]);
    return [value.y, grads.get("x")!, grads.get("gate")!, ...joined];
  };

function matricesOf(group: ExpertGroup): readonly [Tensor, Tensor] {
  if (group instanceof Experts) return [group.gateUpProj as Tensor, group.downProj as Tensor];
  const { gateUpProj, downProj } = (group as LayerExpert).layer as SwigluMlp;
  return [gateUpProj.weight as Tensor, downProj.weight as Tensor];
}

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  async function over(ways: (mixture: Mixture) => Readonly<Record<string, Way>>): Promise<void> {
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(mixtures, (mixture) => expectSame(backend, ways(mixture), tally, { drawn: [mixture] })),
      { numRuns: runs(12) },
    );
    tally.expectMost();
  }

  /** One packed group of all experts. */
  const whole = (mixture: Mixture): Way =>
    way(mixture, (where) => ({ groups: [packed(where, mixture, 0, mixture.E + mixture.others)] }));
  const eachOther = <T>({ E, others }: Mixture, make: (at: number) => T): T[] =>
    Array.from({ length: others }, (_, i) => make(E + i));

  test("cut into groups of one width, a mixture gives the same", () =>
    over((mixture) => ({
      whole: whole(mixture),
      cut: way(mixture, (where) => ({
        groups: [packed(where, mixture, 0, mixture.E), packed(where, mixture, mixture.E, mixture.others)],
      })),
      singly: way(mixture, (where) => ({
        groups: Array.from({ length: mixture.E + mixture.others }, (_, at) => packed(where, mixture, at, 1)),
      })),
    })));

  test("a layer as an expert is the packed expert of its weights; so is one with room for every token", () =>
    over((mixture) => {
      const layers = (capacityFactor?: number) =>
        way(mixture, (where) => ({
          groups: [
            packed(where, mixture, 0, mixture.E),
            ...eachOther(mixture, (at) => new LayerExpert(feedForward(where, mixture, at), { capacityFactor })),
          ],
        }));
      return { whole: whole(mixture), layers: layers(), "layers with room": layers(mixture.E + mixture.others) };
    }));

  test("a layer that has room for some is the packed expert with the same room", () =>
    over((mixture) => {
      const { capacityFactor } = mixture;
      const limited = (
        make: (
          where: Backend,
          at: number,
        ) => Required<Pick<ExpertGroup, "numExperts" | "forward">> & { trained: ExpertGroup },
      ) =>
        way(mixture, (where) => {
          const first = packed(where, mixture, 0, mixture.E);
          const others = eachOther(mixture, (at) => make(where, at));
          return {
            groups: [first, ...others.map((group) => Object.assign(group, { capacityFactor }))],
            trained: [first, ...others.map(({ trained }) => trained)],
          };
        });
      return {
        layers: limited((where, at) => {
          const expert = new LayerExpert(feedForward(where, mixture, at));
          return Object.assign(expert, { trained: expert });
        }),
        packed: limited((where, at) => {
          const expert = packed(where, mixture, at, 1);
          return Object.assign(expert, { trained: expert });
        }),
      };
    }));

  /** Packed experts, and others of which nothing is known but what they add. */
  const beside = (mixture: Mixture, kind: (where: Backend) => ExpertGroup): Way =>
    way(mixture, (where) => {
      const first = packed(where, mixture, 0, mixture.E);
      return { groups: [first, kind(where)], trained: [first] };
    });
  /** The same with the slots of the others empty; `also` makes something of what these weighed, f32 and i32 [B, T, k]. */
  const emptied = (mixture: Mixture, also?: (x: Tensor, weights: Tensor, experts: Tensor) => Tensor): Way =>
    way(mixture, (where) => {
      const first = packed(where, mixture, 0, mixture.E);
      let weights: Tensor, experts: Tensor;
      const router = withoutOthers(mixture, (...seen) => ([weights, experts] = seen));
      return {
        groups: [first, new ZeroExperts({ numExperts: mixture.others })],
        trained: [first],
        router,
        also: also && ((x) => also(x, weights, experts)),
      };
    });

  test("a zero expert is an empty slot", () =>
    over((mixture) => ({
      zero: beside(mixture, () => new ZeroExperts({ numExperts: mixture.others })),
      emptied: emptied(mixture),
      "packed, emptied": way(mixture, (where) => {
        const first = packed(where, mixture, 0, mixture.E);
        const rest = packed(where, mixture, mixture.E, mixture.others);
        return { groups: [first, rest], trained: [first], router: withoutOthers(mixture) };
      }),
    })));

  test("an identity expert adds its weight times x", () =>
    over((mixture) => ({
      identity: beside(mixture, () => new IdentityExperts({ numExperts: mixture.others })),
      added: emptied(mixture, (x, weights) => mul(x, sum(weights))),
    })));

  test("a constant expert adds its weight times its vector", () =>
    over((mixture) => {
      const { D, E, others, k } = mixture;
      return {
        constant: beside(mixture, (where) => new ConstantExperts(weightsAt(where, mixture, 0), { numExperts: others, hiddenSize: D })), // prettier-ignore
        added: emptied(mixture, (x, weights, experts) => {
          const constants = tensor(x.backend, numbersOf(mixture).constants, [others, D]);
          const integer = (value: number): Tensor => fill(x.backend, [], value, { dtype: "i32" });
          return Array.from({ length: k }, (_, j) => {
            const slot = (of: Tensor): Tensor => slice(of, [0, 0, j], [...x.shape.slice(0, 2), 1]);
            const vector = gatherRows(constants, reshape(sub(slot(experts), integer(E)), x.shape.slice(0, 2)));
            return mul(vector, slot(weights));
          }).reduce((total, part) => add(total, part));
        }),
      };
    }));

  test("a masked row gives 0 and changes no other, nor any gradient, whatever it holds", () =>
    over((drawn) => {
      const mixture = { ...drawn, others: 4 };
      const kept = normals(mixture.seed + 5, mixture.B * mixture.T).map((v) => (v > 0 ? 1 : 0));
      const all = (filler: number): Way =>
        way(
          mixture,
          (where) => {
            const first = packed(where, mixture, 0, mixture.E);
            const layer = new LayerExpert(feedForward(where, mixture, mixture.E), mixture);
            const rest = [new IdentityExperts(), new ConstantExperts(weightsAt(where, mixture, 0), { hiddenSize: mixture.D }), new ZeroExperts()]; // prettier-ignore
            return { groups: [first, layer, ...rest], trained: [first, layer] };
          },
          { kept, filler },
        );
      return { zeros: all(0), ones: all(1), large: all(1e30) };
    }));
});
