// Qwen3's router: softmax over all experts, then the k best.
import { ConfigError } from "../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectExpertsPerTok, expectNormTopkProb } from "./expect-option.js";
import { maskRows, routeRows, type Router, type Routing } from "./router.js";

export interface TopKRouterOptions {
  /** k: how many experts a token visits. */
  readonly numExpertsPerTok: number;
  /**
   * Whether the k weights are divided by their sum. Never guessed, because the reference class and every released checkpoint differ: false
   * in the one, true in the others.
   */
  readonly normTopkProb: boolean;
  /** "uniform": all chosen experts weigh 1, or 1 / k with `normTopkProb`, which is their mean; no gradient reaches the gate. "softmax" if left out. */
  readonly score?: "softmax" | "uniform";
}

/**
 * Every token visits the k experts it likes best. k = 1 without `normTopkProb` is the Switch Transformer's router (Fedus et al. 2022); k = E
 * is the dense soft mixture.
 *
 * weights = the k largest of softmax(logits), divided by their sum if `normTopkProb` (transformers' Qwen3MoeTopKRouter). Ties go to the
 * lower expert; softmax comes before the choice.
 */
export class TopKRouter implements Router {
  readonly rowWise = true;
  readonly numExpertsPerTok: number;
  readonly normTopkProb: boolean;
  readonly score: "softmax" | "uniform";

  /** @throws ConfigError if an option is missing or out of range */
  constructor({ numExpertsPerTok, normTopkProb, score = "softmax" }: TopKRouterOptions) {
    expectExpertsPerTok("TopKRouter", "numExpertsPerTok", numExpertsPerTok);
    expectNormTopkProb("TopKRouter", normTopkProb);
    this.numExpertsPerTok = numExpertsPerTok;
    if (score !== "softmax" && score !== "uniform") {
      throw new ConfigError(`TopKRouter: score must be softmax or uniform, got ${String(score)}`);
    }
    this.normTopkProb = normTopkProb;
    this.score = score;
  }

  /** @throws ConfigError if there are fewer experts than k */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const { numExpertsPerTok: k, score, normTopkProb: normalize } = this;
    const routing = routeRows("TopKRouter", logits, undefined, { k, score, normalize });
    return rowMask ? maskRows(routing, rowMask) : routing;
  }
}
