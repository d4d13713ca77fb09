// What wrong calls of the ops of routing and experts say.
import { combineExperts } from "../../src/ops/combine-experts.js";
import { expertLinearGrad } from "../../src/ops/expert-linear-grad.js";
import { expertLinear } from "../../src/ops/expert-linear.js";
import { expertMlp } from "../../src/ops/expert-mlp.js";
import { groupByExpert } from "../../src/ops/group-by-expert.js";
import { route } from "../../src/ops/route.js";
import { f, i, refuses } from "./wrong-calls.js";

const top = { k: 2, score: "softmax", normalize: true } as const;

refuses({
  "route, logits": [() => route(f(1, 2, 4), undefined, top), "route: logits must have shape [R, E], got [1,2,4]"],
  "route, k": [() => route(f(3, 4), undefined, { ...top, k: 5 }), "route: k must be an integer of 1 to 4, got 5"],
  "route, bias": [
    () => route(f(3, 4), f(3), top),
    "route: bias must have shape [4], one for each expert of logits [3,4], got [3]",
  ],
  "route, score": [
    () => route(f(3, 4), undefined, { ...top, score: "relu" as "softmax" }),
    'route: score must be softmax, sigmoid, uniform, got "relu"',
  ],
  "groupByExpert, type": [
    () => groupByExpert(f(3, 4), 2),
    "groupByExpert: experts must hold i32, got f32[3,4]; cast() it first",
  ],
  "groupByExpert, rank": [() => groupByExpert(i(3), 2), "groupByExpert: experts must have shape [G, n], got [3]"],
  "groupByExpert, numExperts": [
    () => groupByExpert(i(3, 4), 0),
    "groupByExpert: numExperts must be an integer of at least 1, got 0",
  ],
  "expertLinear, rank of x": [
    () => expertLinear(f(3), f(2, 4, 5), i(3, 2)),
    "expertLinear: x must have shape [R, in] or [R, k, in], got [3]",
  ],
  "expertLinear, x": [
    () => expertLinear(f(3, 1, 5), f(2, 4, 5), i(3, 2)),
    "expertLinear: x must have shape [3,2,5], the slots of experts and the last axis of weight [2,4,5], got [3,1,5]",
  ],
  "expertLinear, weight": [
    () => expertLinear(f(3, 5), f(4, 5), i(3, 2)),
    "expertLinear: weight must have shape [E, out, in], got [4,5]",
  ],
  expertLinearGrad: [
    () => expertLinearGrad(f(3, 5), f(2, 4, 5), i(3, 2), f(3, 4), [true, true]),
    "expertLinearGrad: dy must have shape [3,2,4], that of the product, got [3,4]",
  ],
  combineExperts: [
    () => combineExperts(f(3, 2, 5), f(3, 1)),
    "combineExperts: weights must have shape [3,2], one for each slot of x [3,2,5], got [3,1]",
  ],
  "expertMlp, gateUp": [
    () => expertMlp(f(3, 5), f(2, 4, 5), f(2, 5, 4), i(3, 2), f(3, 2)),
    "expertMlp: gateUp must have shape [2,8,5], the last axis of x, and down [2,5,4], got [2,4,5]",
  ],
  "expertMlp, down": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 4, 5), i(3, 2), f(3, 2)),
    "expertMlp: down must have shape [2,5,5], the last axis of x [3,5], got [2,4,5]",
  ],
  "expertMlp, experts": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 5, 4), i(4, 2), f(4, 2)),
    "expertMlp: experts must have shape [3,2], the rows of x [3,5], got [4,2]",
  ],
  "expertMlp, weights": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 5, 4), i(3, 2), f(3, 1)),
    "expertMlp: weights must have shape [3,2], one for each slot of experts, got [3,1]",
  ],
});
