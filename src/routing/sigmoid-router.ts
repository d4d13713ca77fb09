// DeepSeek-V3's router: each expert has a sigmoid of its own, and a bias that only the choice sees keeps experts in use without a loss.
import { ConfigError } from "../core/errors.js";
import { add, less, mul, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { mean } from "../ops/mean.js";
import { writeSlice } from "../ops/write-slice.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { chosenIn, type Routings } from "./balance.js";
import { expectExpertsPerTok, expectNormTopkProb, expectOption } from "./expect-option.js";
import { maskRows, routeRows, type Router, type Routing } from "./router.js";

export interface SigmoidRouterOptions {
  /** k: how many experts a token visits. */
  readonly numExpertsPerTok: number;
  /** Whether the k weights are divided by their sum (`norm_topk_prob`). */
  readonly normTopkProb: boolean;
  /** Multiplies all weights, after dividing (`routed_scaling_factor`). 1 if left out. */
  readonly routedScalingFactor?: number;
  /** f32 [E], added to the scores for the choice alone; the caller's. Without it the scores choose. */
  readonly eScoreCorrectionBias?: Tensor;
}

export interface BiasUpdateOptions {
  /** How far a bias moves per update; 0.001 in DeepSeek-V3. */
  readonly rate: number;
}

/**
 * experts = the k largest of sigmoid(logits) + bias; weights = their sigmoids without the bias, divided by their sum if `normTopkProb`, times
 * `routedScalingFactor`. (DeepSeek-AI 2024, "DeepSeek-V3 technical report"; transformers' DeepseekV3TopkRouter with one group.)
 */
export class SigmoidRouter implements Router {
  readonly rowWise = true;
  readonly numExpertsPerTok: number;
  readonly normTopkProb: boolean;
  readonly routedScalingFactor: number;
  readonly eScoreCorrectionBias: Tensor | undefined;

  /** @throws ConfigError if an option is missing or out of range */
  constructor({ numExpertsPerTok, normTopkProb, routedScalingFactor = 1, eScoreCorrectionBias }: SigmoidRouterOptions) {
    expectExpertsPerTok("SigmoidRouter", "numExpertsPerTok", numExpertsPerTok);
    expectOption("SigmoidRouter", "routedScalingFactor", routedScalingFactor, "a number", true);
    expectNormTopkProb("SigmoidRouter", normTopkProb);
    this.numExpertsPerTok = numExpertsPerTok;
    this.normTopkProb = normTopkProb;
    this.routedScalingFactor = routedScalingFactor;
    this.eScoreCorrectionBias = eScoreCorrectionBias;
  }

  /** @throws ConfigError if there are fewer experts than k */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const routing = routeRows("SigmoidRouter", logits, this.eScoreCorrectionBias, {
      k: this.numExpertsPerTok,
      score: "sigmoid",
      normalize: this.normTopkProb,
      scale: this.routedScalingFactor,
    });
    return rowMask ? maskRows(routing, rowMask) : routing;
  }

  /**
   * Moves the bias of each expert by `rate`: up if it got fewer slots than the mean, down if it got more. Call it after a training step with
   * the step's routings; nothing is read back. (Wang et al. 2024, "Auxiliary-loss-free load balancing strategy for mixture-of-experts".)
   * @throws ConfigError without a bias, or without a routing
   */
  updateBias(routings: Routings, { rate }: BiasUpdateOptions): void {
    const bias = this.eScoreCorrectionBias;
    if (bias === undefined) {
      throw new ConfigError(
        "SigmoidRouter: eScoreCorrectionBias must be given to be updated, got none; pass zeros [E]",
      );
    }
    expectOption("SigmoidRouter", "rate", rate, "a positive number", rate > 0);
    scope(() => {
      const load = chosenIn("SigmoidRouter", routings); // [E]
      const average = mean(load);
      const direction = sub(cast(less(load, average), "f32"), cast(less(average, load), "f32"));
      writeSlice(add(bias, mul(direction, rate)), bias, [0]);
    });
  }
}
