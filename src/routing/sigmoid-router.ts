// DeepSeek-V3's router: each expert has a sigmoid of its own, and a bias that only the choice sees keeps experts in use without a loss.
import { ConfigError } from "../core/errors.js";
import { rowsOf, withLastAxis } from "../core/shape.js";
import { add, less, mul, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { expectShape } from "../ops/expect.js";
import { fill } from "../ops/fill.js";
import { gatherRows } from "../ops/gather-rows.js";
import { mean } from "../ops/mean.js";
import { reshape } from "../ops/reshape.js";
import { topK } from "../ops/top-k.js";
import { sigmoid } from "../ops/unary.js";
import { writeSlice } from "../ops/write-slice.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectEnoughExperts, expectExpertsPerTok, expectNormTopkProb, expectOption } from "./expect-option.js";
import { limitToGroups, type GroupLimit } from "./group-limited.js";
import { maskRows, normalizeWeights, routeRows, scaleWeights, type Router, type Routing } from "./router.js";
import { demandIn, type Routings } from "./routings.js";

export interface SigmoidRouterOptions extends Partial<GroupLimit> {
  /** k: how many experts a token visits. */
  readonly numExpertsPerTok: number;
  /** Whether the k weights are divided by their sum (`norm_topk_prob`). */
  readonly normTopkProb: boolean;
  /** Multiplies all weights, after dividing (`routed_scaling_factor`). 1 if left out. */
  readonly routedScalingFactor?: number;
  /**
   * f32 [E], added to the scores for the choice alone. Without it the scores choose. It is saved and freed with the model's parameters; its
   * gradient is 0.
   */
  readonly eScoreCorrectionBias?: Tensor;
}

export interface BiasUpdateOptions {
  /** How far a bias moves per update; 0.001 in DeepSeek-V3. */
  readonly rate: number;
}

/**
 * experts = the k largest of sigmoid(logits) + bias; weights = their sigmoids without the bias, divided by their sum if `normTopkProb`, times
 * `routedScalingFactor`. (DeepSeek-AI 2024, "DeepSeek-V3 technical report"; transformers' DeepseekV3TopkRouter.) With `nGroup` and
 * `topkGroup`, all groups if left out, only experts of a token's best groups are chosen.
 */
export class SigmoidRouter implements Router {
  readonly rowWise = true;
  readonly numExpertsPerTok: number;
  readonly normTopkProb: boolean;
  readonly routedScalingFactor: number;
  readonly nGroup: number;
  readonly topkGroup: number;
  readonly eScoreCorrectionBias: Tensor | undefined;

  /** @throws ConfigError if an option is missing or out of range */
  constructor({
    numExpertsPerTok,
    normTopkProb,
    routedScalingFactor = 1,
    nGroup = 1,
    topkGroup = nGroup,
    eScoreCorrectionBias,
  }: SigmoidRouterOptions) {
    expectExpertsPerTok("SigmoidRouter", "numExpertsPerTok", numExpertsPerTok);
    expectOption("SigmoidRouter", "routedScalingFactor", routedScalingFactor, "a number", true);
    expectNormTopkProb("SigmoidRouter", normTopkProb);
    expectExpertsPerTok("SigmoidRouter", "nGroup", nGroup);
    expectExpertsPerTok("SigmoidRouter", "topkGroup", topkGroup);
    expectOption("SigmoidRouter", "topkGroup", topkGroup, `at most nGroup = ${nGroup}`, topkGroup <= nGroup);
    this.numExpertsPerTok = numExpertsPerTok;
    this.normTopkProb = normTopkProb;
    this.routedScalingFactor = routedScalingFactor;
    this.nGroup = nGroup;
    this.topkGroup = topkGroup;
    this.eScoreCorrectionBias = eScoreCorrectionBias;
  }

  /** @throws ConfigError if there are fewer experts than k to choose from, or `nGroup` does not divide them; ShapeError unless the bias is [E] */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const { numExpertsPerTok: k, normTopkProb, routedScalingFactor: scale, nGroup, topkGroup } = this;
    const numExperts = logits.shape[logits.shape.length - 1];
    const divides = numExperts % nGroup === 0;
    expectOption("SigmoidRouter", "nGroup", nGroup, `a divisor of the number of experts ${numExperts}`, divides);
    const open = (numExperts / nGroup) * topkGroup;
    const rule = `at most the ${open} experts of topkGroup = ${topkGroup} of ${nGroup} groups`;
    expectEnoughExperts("SigmoidRouter", "numExpertsPerTok", k, numExperts);
    expectOption("SigmoidRouter", "numExpertsPerTok", k, rule, k <= open);
    const raw = topkGroup < nGroup ? this.#withinGroups(logits) : this.#amongAll(logits);
    const routing = normTopkProb ? normalizeWeights(raw, scale) : scaleWeights(raw, scale);
    return rowMask ? maskRows(routing, rowMask) : routing;
  }

  /**
   * Moves the bias of each expert by `rate`: up if fewer slots than the mean wanted it, down if more; what a capacity dropped counts. Call it
   * after a training step with the step's routings of the layers that share this router; nothing is read back. (Wang et al. 2024,
   * "Auxiliary-loss-free load balancing strategy for mixture-of-experts".)
   * @throws ConfigError without a bias, or without a routing; ShapeError if that is of another number of experts
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
      const load = demandIn("SigmoidRouter", routings); // [E]
      expectShape(
        "SigmoidRouter",
        "eScoreCorrectionBias",
        bias,
        load.shape,
        "one number for each expert of the routings",
      );
      const average = mean(load);
      const direction = sub(cast(less(load, average), "f32"), cast(less(average, load), "f32"));
      writeSlice(add(bias, mul(direction, rate)), bias, [0]);
    });
  }

  #amongAll(logits: Tensor): Routing {
    const options = { k: this.numExpertsPerTok, score: "sigmoid", normalize: false } as const;
    return routeRows(logits, this.eScoreCorrectionBias, options);
  }

  #withinGroups(logits: Tensor): Routing {
    const { numExpertsPerTok: k, eScoreCorrectionBias: bias } = this;
    const { rows, width } = rowsOf(logits.shape);
    const scores = sigmoid(reshape(logits, [rows, width]));
    if (bias) expectShape("SigmoidRouter", "eScoreCorrectionBias", bias, [width], "one number for each expert");
    const { indices } = topK(limitToGroups(bias ? add(scores, bias) : scores, this), k);
    const starts = reshape(fill(logits.backend, [rows], 0, { step: width, dtype: "i32" }), [rows, 1]);
    const weights = gatherRows(reshape(scores, [scores.size]), add(indices, starts));
    const slots = withLastAxis(logits.shape, k);
    return { logits, weights: reshape(weights, slots), experts: reshape(indices, slots), dropped: undefined };
  }
}
