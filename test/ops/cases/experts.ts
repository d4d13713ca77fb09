// Drawn calls of routing and experts.
import fc from "fast-check";
import type { FusedOps } from "../../../src/backends/backend.js";
import type { Random } from "../../../src/core/random.js";
import { combineExperts } from "../../../src/ops/combine-experts.js";
import { expertLinearGrad } from "../../../src/ops/expert-linear-grad.js";
import { expertLinear } from "../../../src/ops/expert-linear.js";
import { expertMlp } from "../../../src/ops/expert-mlp.js";
import { groupByExpert } from "../../../src/ops/group-by-expert.js";
import { route } from "../../../src/ops/route.js";
import {
  extent,
  rows,
  activations,
  storedAs,
  draw,
  normal,
  integers,
  plainOf,
  packed,
  type HostOperand,
  type OpCase,
} from "./draw.js";

const expertShapes = { R: rows, k: fc.integer({ min: 1, max: 3 }), E: extent, width: extent, out: extent };
const slots = (random: Random, R: number, k: number, E: number): HostOperand => integers(random, [R, k], -1, E);

type Names = "route" | "groupByExpert" | "expertLinear" | "expertLinearGrad" | "combineExperts" | "expertMlp";

export const expertsCases: { readonly [K in Names & keyof FusedOps]: fc.Arbitrary<OpCase> } = {
  route: draw(
    {
      R: rows,
      E: extent,
      k: extent,
      bias: fc.boolean(),
      score: fc.constantFrom("softmax" as const, "sigmoid" as const, "uniform" as const),
      normalize: fc.boolean(),
      scale: fc.constantFrom(1, 2.5),
    },
    ({ R, E, k, bias, score, normalize, scale }, random) => ({
      inputs: [normal(random, [R, E], 2), bias ? normal(random, [E]) : undefined],
      params: score === "uniform" ? [] : [0],
      run([logits, bias]) {
        const { weights, experts } = route(logits, bias, { k: Math.min(k, E), score, normalize, scale });
        return [weights, experts];
      },
    }),
  ),

  groupByExpert: draw({ G: rows, n: rows, E: extent }, ({ G, n, E }, random) => ({
    inputs: [integers(random, [G, n], -2, E + 1)],
    params: [],
    run([experts]) {
      const { counts, rank } = groupByExpert(experts, E);
      return [counts, rank];
    },
  })),

  expertLinear: draw({ ...expertShapes, each: fc.boolean(), activations, storedAs }, (drawn, random) => {
    const { R, k, E, width, out, each, activations, storedAs } = drawn;
    const inputs = [
      normal(random, each ? [R, k, width] : [R, width]),
      packed(normal(random, [E, out, width]), storedAs),
      slots(random, R, k, E),
    ];
    const params = activations === "q8" ? [] : plainOf(inputs, [0, 1]);
    return { inputs, params, run: ([x, w, experts]) => [expertLinear(x, w, experts, { activations })] };
  }),

  expertLinearGrad: draw({ ...expertShapes, each: fc.boolean(), storedAs }, (drawn, random) => {
    const { R, k, E, width, out, each, storedAs } = drawn;
    return {
      inputs: [
        normal(random, each ? [R, k, width] : [R, width]),
        packed(normal(random, [E, out, width]), storedAs),
        slots(random, R, k, E),
        normal(random, [R, k, out]),
      ],
      params: [],
      run: ([x, w, experts, dy]) => expertLinearGrad(x, w, experts, dy, [true, true]),
    };
  }),

  combineExperts: draw({ R: rows, k: extent, D: extent }, ({ R, k, D }, random) => ({
    inputs: [normal(random, [R, k, D]), normal(random, [R, k])],
    params: [0, 1],
    run: ([x, weights]) => [combineExperts(x, weights)],
  })),

  expertMlp: draw({ ...expertShapes, activations, storedAs }, (drawn, random) => {
    const { R, k, E, width: D, out: I, activations, storedAs } = drawn;
    const inputs = [
      normal(random, [R, D]),
      packed(normal(random, [E, 2 * I, D]), storedAs),
      packed(normal(random, [E, D, I]), storedAs),
      slots(random, R, k, E),
      normal(random, [R, k]),
    ];
    const q8 = activations === "q8";
    return {
      inputs,
      params: q8 ? [] : plainOf(inputs, [0, 1, 2, 4]),
      slack: q8 ? 1 / 64 : 0, // a hidden number may round to the next code
      run: ([x, gateUp, down, experts, weights]) => [expertMlp(x, gateUp, down, experts, weights, { activations })],
    };
  }),
};
