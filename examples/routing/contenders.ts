// The routers that are compared, each with what keeps its experts in use.
import { CapacityRouter, ExpertChoiceRouter, SigmoidRouter, TopKRouter, TopPRouter, zeros } from "qwen-blocks";
import type { Backend, Router, Routing, RoutingStatistics } from "qwen-blocks";
import { sizes } from "./model.js";

/** The router of one layer. */
export interface Steered {
  readonly router: Router;
  /** After each training step, with what the router did in it. */
  after?(routing: Routing, statistics: RoutingStatistics): void;
}

export interface Contender {
  readonly name: string;
  /** In a sentence, for the report. */
  readonly about: string;
  /** A custom property of the page. */
  readonly color: string;
  /** Weight of the load-balancing loss. */
  readonly balance: number;
  make(backend: Backend): Steered;
}

const k = 2;
const normTopkProb = true;
const topK = (): TopKRouter => new TopKRouter({ numExpertsPerTok: k, normTopkProb });

export const contenders: readonly Contender[] = [
  {
    name: "top-k",
    about: `Every token visits its ${k} best experts; a loss evens out the load.`,
    color: "--top-k",
    balance: 0.02,
    make: () => ({ router: topK() }),
  },
  {
    name: "sigmoid, steered bias",
    about: `The ${k} largest of sigmoid + bias; no loss, the bias of an idle expert rises after every step.`,
    color: "--sigmoid",
    balance: 0,
    make(backend) {
      const eScoreCorrectionBias = zeros(backend, [sizes.numExperts]);
      const router = new SigmoidRouter({ numExpertsPerTok: k, normTopkProb, eScoreCorrectionBias });
      return { router, after: (routing) => router.updateBias([routing], { rate: 0.005 }) };
    },
  },
  {
    name: "top-p, steered",
    about: "As many experts as reach probability p, at most 6; p moves until 15 to 20 % of the experts are visited.",
    color: "--top-p",
    balance: 0.02,
    make() {
      const router = new TopPRouter({ topP: 0.5, maxExpertsPerTok: 6, normTopkProb });
      return { router, after: (_, { activated }) => router.steer(activated, { target: [0.15, 0.2] }) };
    },
  },
  {
    name: "expert choice",
    about: `Every expert takes its best tokens of a text, ${k} experts per token on average. It sees the text's future.`,
    color: "--expert-choice",
    balance: 0,
    make: () => ({ router: new ExpertChoiceRouter({ capacityFactor: k }) }),
  },
  {
    name: "top-k, capacity",
    about:
      "Top-k, but an expert has room for what the busiest one needed a step ago, twice the fair share at most; what overflows is dropped.",
    color: "--capacity",
    balance: 0.02,
    make() {
      const router = new CapacityRouter(topK(), { capacityFactor: 1.25 });
      return { router, after: (_, { peakDemand }) => router.follow(peakDemand, { slack: 1.1, most: 2 }) };
    },
  },
];
