// Every token visits the k experts that it likes best: Qwen3's router, Switch's, and the dense mixture.
import { ConfigError } from "../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectEnoughExperts, expectExpertsPerTok, expectNormTopkProb } from "./expect-option.js";
import { maskRows, routeRows, type Router, type Routing } from "./router.js";

export interface TopKRouterOptions {
  /** k: how many experts a token visits. */
  readonly numExpertsPerTok: number;
  /**
   * Whether the k weights are divided by their sum. Never guessed, because the reference class and every released checkpoint differ: false
   * in the one, true in the others.
   */
  readonly normTopkProb: boolean;
  /**
   * "uniform": each of the chosen weighs 1, or with `normTopkProb` 1 / k, which gives their mean; no gradient reaches the gate then. "softmax"
   * if left out.
   */
  readonly score?: "softmax" | "uniform";
}

/**
 * weights = the k largest of softmax(logits), divided by their sum if `normTopkProb` (transformers' Qwen3MoeTopKRouter). Ties go to the
 * lower expert; softmax comes before the choice. k = 1 without `normTopkProb` is the router of the Switch Transformer (Fedus et al. 2022),
 * k = E the dense soft mixture.
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
    if (score !== "softmax" && score !== "uniform") {
      throw new ConfigError(`TopKRouter: score must be softmax or uniform, got ${String(score)}`);
    }
    this.numExpertsPerTok = numExpertsPerTok;
    this.normTopkProb = normTopkProb;
    this.score = score;
  }

  /** @throws ConfigError if there are fewer experts than k */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const { numExpertsPerTok: k, score, normTopkProb: normalize } = this;
    expectEnoughExperts("TopKRouter", "numExpertsPerTok", k, logits.shape[logits.shape.length - 1]);
    const routing = routeRows(logits, undefined, { k, score, normalize });
    return rowMask ? maskRows(routing, rowMask) : routing;
  }
}
