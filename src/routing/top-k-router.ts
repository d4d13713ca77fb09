// Qwen3's router: softmax over all experts, then the k best.
import { ConfigError } from "../core/errors.js";
import { rowsOf, withLastAxis } from "../core/shape.js";
import { reshape } from "../ops/reshape.js";
import { route } from "../ops/route.js";
import type { Tensor } from "../tensor/tensor.js";
import { maskRows, type Router, type Routing } from "./router.js";

export interface TopKRouterOptions {
  /** k: how many experts a token visits. */
  readonly numExpertsPerTok: number;
  /**
   * Whether the k weights are divided by their sum. Never guessed, because the reference class and every released checkpoint differ: false
   * in the one, true in the others.
   */
  readonly normTopkProb: boolean;
}

/**
 * weights = the k largest of softmax(logits), divided by their sum if `normTopkProb` (transformers' Qwen3MoeTopKRouter). Ties go to the
 * lower expert; softmax comes before the choice.
 */
export class TopKRouter implements Router {
  readonly rowWise = true;
  readonly numExpertsPerTok: number;
  readonly normTopkProb: boolean;

  /** @throws ConfigError if an option is missing or out of range */
  constructor({ numExpertsPerTok, normTopkProb }: TopKRouterOptions) {
    if (!Number.isInteger(numExpertsPerTok) || numExpertsPerTok < 1) {
      throw new ConfigError(`TopKRouter: numExpertsPerTok must be a positive integer, got ${numExpertsPerTok}`);
    }
    if (typeof normTopkProb !== "boolean") {
      throw new ConfigError(
        `TopKRouter: normTopkProb must be given as true or false, got ${String(normTopkProb)}; see norm_topk_prob in config.json`,
      );
    }
    this.numExpertsPerTok = numExpertsPerTok;
    this.normTopkProb = normTopkProb;
  }

  /** @throws ConfigError if there are fewer experts than k */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const k = this.numExpertsPerTok;
    const { rows, width } = rowsOf(logits.shape);
    if (k > width)
      throw new ConfigError(`TopKRouter: numExpertsPerTok must be at most the number of experts ${width}, got ${k}`);
    const options = { k, score: "softmax", normalize: this.normTopkProb, scale: 1 } as const;
    const { weights, experts } = route(reshape(logits, [rows, width]), undefined, options);
    const slots = withLastAxis(logits.shape, k);
    const routing: Routing = {
      logits,
      weights: reshape(weights, slots),
      experts: reshape(experts, slots),
      dropped: undefined,
    };
    return rowMask ? maskRows(routing, rowMask) : routing;
  }
}
