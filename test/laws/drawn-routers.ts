// Routers of every kind with drawn options, for laws that hold of all of them or of some.
import {
  CapacityRouter, ExpertChoiceRouter, SigmoidRouter, tensor, TopKRouter, TopPRouter, type Backend, type Router,
} from "qwen-blocks"; // prettier-ignore
import fc from "fast-check";
import { normals } from "../tensor/numbers.js";

export const routerKinds = [
  "softmax",
  "uniform",
  "sigmoid",
  "groups",
  "topP",
  "capacity",
  "nextChoice",
  "expertChoice",
] as const;
export type RouterKind = (typeof routerKinds)[number];

/** What a router is made of; each kind takes what it needs. */
export interface DrawnRouter {
  readonly kind: RouterKind;
  readonly E: number;
  readonly k: number;
  readonly normTopkProb: boolean;
  /** p, or the factor of a capacity in thirds of what all would need, to the kinds that have one. */
  readonly share: number;
  readonly per: "row" | "batch";
  readonly seed: number;
}

/** `kinds` one after the other, so that each gets its part of few draws. */
export function routers(kinds: readonly RouterKind[] = routerKinds): fc.Arbitrary<DrawnRouter> {
  return fc
    .record({
      kind: fc.constantFrom(...kinds),
      E: fc.integer({ min: 1, max: 6 }),
      k: fc.nat(5),
      normTopkProb: fc.boolean(),
      share: fc.constantFrom(0, 0.3, 0.6, 0.9, 1),
      per: fc.constantFrom("row" as const, "batch" as const),
      seed: fc.nat(),
    })
    .map(({ k, ...rest }): DrawnRouter => {
      const E = rest.kind === "groups" ? 2 * Math.ceil(rest.E / 2) : rest.E;
      return { ...rest, E, k: 1 + (k % (rest.kind === "groups" ? E / 2 : E)) };
    });
}

export const inOrder = (count: number): number[] => [...Array(count).keys()];

/** @param order where each expert stands; the bias goes with them. The biased router's tensors belong to `where`, until `freed`. */
export function routerOf(drawn: DrawnRouter, where: Backend, order: readonly number[] = inOrder(drawn.E)): Router {
  const { kind, E, k: numExpertsPerTok, normTopkProb, share, per, seed } = drawn;
  const topK = new TopKRouter({ numExpertsPerTok, normTopkProb });
  const bias = normals(seed + 77, E, 0.3);
  const biased = (): object => ({
    numExpertsPerTok,
    normTopkProb,
    routedScalingFactor: scalingFactor,
    eScoreCorrectionBias: tensor(
      where,
      order.map((e) => bias[e]),
    ),
  });
  switch (kind) {
    case "softmax":
      return topK;
    case "uniform":
      return new TopKRouter({ numExpertsPerTok, normTopkProb, score: "uniform" });
    case "sigmoid":
      return new SigmoidRouter(biased() as never);
    case "groups":
      return new SigmoidRouter({ ...biased(), nGroup: 2, topkGroup: 1 } as never);
    case "topP":
      return new TopPRouter({
        topP: share,
        minExpertsPerTok: seed % 2,
        maxExpertsPerTok: numExpertsPerTok,
        normTopkProb,
      });
    case "capacity":
      return new CapacityRouter(topK, { capacityFactor: 1.5 * share, per });
    case "nextChoice": {
      const candidates = new TopKRouter({ numExpertsPerTok: E, normTopkProb });
      return new CapacityRouter(candidates, { capacityFactor: 1.5 * share, per, numExpertsPerTok });
    }
    case "expertChoice":
      return new ExpertChoiceRouter({ capacityFactor: 3 * share, per });
  }
}

/** `routed_scaling_factor` of the drawn sigmoid routers. */
export const scalingFactor = 2.5;

/** Whether a token's weights sum to the scaling factor, where it has any expert. */
export const normalizes = ({ kind, normTopkProb }: DrawnRouter): boolean => kind !== "expertChoice" && normTopkProb;
