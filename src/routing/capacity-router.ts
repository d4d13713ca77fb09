// A limit on how many tokens an expert takes, around any router. What does not fit is dropped, or goes to the token's next choice.
import { sizeOf } from "../core/shape.js";
import { add } from "../ops/binary.js";
import { reshape } from "../ops/reshape.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectExpertsPerTok, expectOption, expectPer, expectRouter, type Per } from "./expect-option.js";
import { firstCome, nextChoice, type Crowd } from "./overflow.js";
import { emptySlots, normalizeWeights, type Router, type Routing } from "./router.js";

export interface CapacityOptions {
  /** An expert takes ceil(tokens x k x factor / E) of a group's tokens, those of the row mask's padding counted. 0 empties all slots. */
  readonly capacityFactor: number;
  /** What a group is: a batch row, which then depends on no other row, or the whole batch. "row" if left out. */
  readonly per?: Per;
  /**
   * k: how many of the router's slots a token keeps. With fewer than the router gives, these are candidates in descending order, and a token
   * whose expert is full goes to its next one. All of them if left out; what overflows is then dropped.
   */
  readonly numExpertsPerTok?: number;
}

export interface FollowOptions {
  /** Room beyond the measured load; 1.1 leaves a tenth. */
  readonly slack: number;
  /** The largest factor. */
  readonly most: number;
}

/**
 * Priority is by position: of the slots that want an expert, those of earlier tokens get it (Lepikhin et al. 2020, "GShard"; Fedus et al.
 * 2022). Where tokens go to their next choice, all first choices come before all second ones, so a token may then depend on later ones.
 * Tokens of one call count, not those in a cache. A router that normalises does so over what is kept.
 */
export class CapacityRouter implements Router {
  readonly router: Router;
  readonly per: Per;
  readonly numExpertsPerTok: number | undefined;
  #capacityFactor: number;

  /** @throws ConfigError if there is no router or an option is out of range */
  constructor(router: Router, { capacityFactor, per = "row", numExpertsPerTok }: CapacityOptions) {
    expectRouter("CapacityRouter", router);
    expectOption("CapacityRouter", "capacityFactor", capacityFactor, "a number of at least 0", capacityFactor >= 0);
    expectPer("CapacityRouter", per);
    if (numExpertsPerTok !== undefined) {
      expectExpertsPerTok("CapacityRouter", "numExpertsPerTok", numExpertsPerTok);
    }
    this.router = router;
    this.per = per;
    this.numExpertsPerTok = numExpertsPerTok;
    this.#capacityFactor = capacityFactor;
  }

  get rowWise(): boolean {
    return this.router.rowWise && this.per === "row" && this.numExpertsPerTok === undefined;
  }

  get normTopkProb(): boolean {
    return this.router.normTopkProb === true;
  }

  get routedScalingFactor(): number {
    return this.router.routedScalingFactor ?? 1;
  }

  get capacityFactor(): number {
    return this.#capacityFactor;
  }

  /** @throws what the inner router throws */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const routing = this.router.route(logits, rowMask);
    const { shape } = routing.experts;
    const numExperts = logits.shape[logits.shape.length - 1];
    const slots = shape[shape.length - 1];
    const groups = this.per === "batch" ? 1 : sizeOf(shape.slice(0, -2));
    const tokens = groups === 0 ? 0 : sizeOf(shape.slice(0, -1)) / groups;
    const k = Math.min(slots, this.numExpertsPerTok ?? slots);
    // No expert is visited twice by a token, so more room than tokens is never used.
    const capacity = Math.min(tokens, Math.ceil((tokens * k * this.#capacityFactor) / numExperts));
    const crowd: Crowd = { experts: reshape(routing.experts, [groups, tokens, slots]), numExperts, capacity };
    const { keep, dropped } = k === slots ? firstCome(crowd) : nextChoice(crowd, k);
    // A capacity within this one has dropped some before.
    const lost = routing.dropped ? add(routing.dropped, dropped) : dropped;
    const kept = { ...emptySlots(routing, reshape(keep, shape)), dropped: lost };
    return this.normTopkProb ? normalizeWeights(kept, this.routedScalingFactor) : kept;
  }

  /**
   * Sets the factor to what the busiest expert needed, times `slack`, at least 1 and at most `most`.
   * @param peakDemand the measured load, `RoutingStatistics.peakDemand`
   * @returns the new factor
   * @throws ConfigError if a number is out of range
   */
  follow(peakDemand: number, { slack, most }: FollowOptions): number {
    expectOption("CapacityRouter", "peakDemand", peakDemand, "a number of at least 0", peakDemand >= 0);
    expectOption("CapacityRouter", "slack", slack, "a positive number", slack > 0);
    expectOption("CapacityRouter", "most", most, "at least 1", most >= 1);
    this.#capacityFactor = Math.min(most, Math.max(1, peakDemand * slack));
    return this.#capacityFactor;
  }
}
