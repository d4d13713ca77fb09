// As many experts as it takes to reach a probability: sure tokens visit few, unsure ones many.
import { less, or } from "../ops/binary.js";
import { arange, fill } from "../ops/fill.js";
import { scan } from "../ops/scan.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectEnoughExperts, expectExpertsPerTok, expectNormTopkProb, expectOption } from "./expect-option.js";
import { emptySlots, maskRows, normalizeWeights, routeRows, type Router, type Routing } from "./router.js";

export interface TopPRouterOptions {
  /** The probability that the visited experts reach together, in [0, 1]. */
  readonly topP: number;
  /** A token visits at least so many; 1 if left out, 0 allowed. */
  readonly minExpertsPerTok?: number;
  /** And at most so many, k: the room that each token's slots take. */
  readonly maxExpertsPerTok: number;
  /** Whether the weights of the visited are divided by their sum. */
  readonly normTopkProb: boolean;
}

export interface SteerOptions {
  /** The share of experts that a token should visit, such as [0.15, 0.2]: between these two nothing changes. */
  readonly target: readonly [from: number, to: number];
  /** How far topP moves per unit of distance; 0.5 if left out. */
  readonly rate?: number;
}

/**
 * experts = the shortest prefix, in descending order of softmax(logits), whose probabilities sum to at least `topP`, but between
 * `minExpertsPerTok` and `maxExpertsPerTok` of them (Huang et al. 2024, "Harder tasks need more experts"). Slots that stay empty cost nothing.
 */
export class TopPRouter implements Router {
  readonly rowWise = true;
  readonly minExpertsPerTok: number;
  readonly maxExpertsPerTok: number;
  readonly normTopkProb: boolean;
  #topP: number;

  /** @throws ConfigError if an option is missing or out of range */
  constructor({ topP, minExpertsPerTok = 1, maxExpertsPerTok, normTopkProb }: TopPRouterOptions) {
    expectExpertsPerTok("TopPRouter", "maxExpertsPerTok", maxExpertsPerTok);
    expectOption("TopPRouter", "topP", topP, "in [0, 1]", topP >= 0 && topP <= 1);
    const fits = Number.isInteger(minExpertsPerTok) && minExpertsPerTok >= 0 && minExpertsPerTok <= maxExpertsPerTok;
    expectOption("TopPRouter", "minExpertsPerTok", minExpertsPerTok, `an integer from 0 to ${maxExpertsPerTok}`, fits);
    expectNormTopkProb("TopPRouter", normTopkProb);
    this.#topP = topP;
    this.minExpertsPerTok = minExpertsPerTok;
    this.maxExpertsPerTok = maxExpertsPerTok;
    this.normTopkProb = normTopkProb;
  }

  get topP(): number {
    return this.#topP;
  }

  /** @throws ConfigError if there are fewer experts than `maxExpertsPerTok` */
  route(logits: Tensor, rowMask?: Tensor): Routing {
    const { backend } = logits;
    const k = this.maxExpertsPerTok;
    expectEnoughExperts("TopPRouter", "maxExpertsPerTok", k, logits.shape[logits.shape.length - 1]);
    const best = routeRows(logits, undefined, { k, score: "softmax", normalize: false });
    const { weights } = best;
    // A prefix ends with the expert that reaches topP, so what counts is the sum before each. Rounded sums may reach 1 too early.
    const before = scan(weights, weights.shape.length - 1, { exclusive: true });
    const unreached =
      this.#topP === 1 ? fill(backend, [], 1, { dtype: "u32" }) : less(before, fill(backend, [], this.#topP));
    const always = less(arange(backend, k), fill(backend, [], this.minExpertsPerTok, { dtype: "i32" }));
    const kept = emptySlots(best, or(unreached, always));
    const routing = this.normTopkProb ? normalizeWeights(kept) : kept;
    return rowMask ? maskRows(routing, rowMask) : routing;
  }

  /**
   * Moves topP toward a share of activated experts, within [0, 1].
   * @param activated the measured share, `RoutingStatistics.activated`
   * @returns the new topP
   */
  steer(activated: number, { target: [from, to], rate = 0.5 }: SteerOptions): number {
    expectOption("TopPRouter", "target[0]", from, "in [0, 1]", from >= 0 && from <= 1);
    expectOption("TopPRouter", "target[1]", to, `from target[0] = ${from} to 1`, to >= from && to <= 1);
    expectOption("TopPRouter", "activated", activated, "a share in [0, 1]", activated >= 0 && activated <= 1);
    expectOption("TopPRouter", "rate", rate, "a positive number", rate > 0);
    const distance = activated < from ? from - activated : activated > to ? to - activated : 0;
    this.#topP = Math.min(1, Math.max(0, this.#topP + rate * distance));
    return this.#topP;
  }
}
