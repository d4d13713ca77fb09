// Noise on a router's logits, so that training tries experts that it would not choose.
import { ConfigError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import { sizeOf } from "../core/shape.js";
import { add, mul } from "../ops/binary.js";
import { randn, tensor } from "../tensor/create.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectOption, expectRouter } from "./expect-option.js";
import type { Router, Routing } from "./router.js";

export interface NoiseOptions {
  /** Where the numbers come from: its state, kept with the training state, repeats them. */
  readonly random: Random;
  /** Deviation of the normal noise that is added to each logit (Shazeer et al. 2017, who learn it per expert). 0 if left out. */
  readonly noise?: number;
  /**
   * Each logit is multiplied by a number from [1 - jitter, 1 + jitter), uniformly. 0 if left out. (Fedus et al. 2022 do so with the gate's
   * input, which a router does not see.)
   */
  readonly jitter?: number;
}

/**
 * Routes noisy logits; choice and weights follow these, while losses and statistics see the logits as they were. For training alone: set
 * `active` to false, or give the layer the inner router, to evaluate. Every call draws anew, on the host: inside `record` that is an error, and
 * inside `checkpoint` the second pass would see other noise than the first.
 */
export class NoisyRouter implements Router {
  readonly router: Router;
  /** Whether noise is added. */
  active = true;
  readonly #options: Required<NoiseOptions>;

  /** @throws ConfigError if the router or `random` is missing, or an option is out of range */
  constructor(router: Router, { random, noise = 0, jitter = 0 }: NoiseOptions) {
    expectRouter("NoisyRouter", router);
    if (typeof random?.uniform !== "function") {
      throw new ConfigError(
        `NoisyRouter: random must be given as a Random, got ${typeof random}; pass new Random(seed)`,
      );
    }
    expectOption("NoisyRouter", "noise", noise, "a number of at least 0", noise >= 0);
    expectOption("NoisyRouter", "jitter", jitter, "in [0, 1]", jitter >= 0 && jitter <= 1);
    this.router = router;
    this.#options = { random, noise, jitter };
  }

  get rowWise(): boolean {
    return this.router.rowWise && !this.active;
  }

  get normTopkProb(): boolean {
    return this.router.normTopkProb === true;
  }

  get routedScalingFactor(): number {
    return this.router.routedScalingFactor ?? 1;
  }

  route(logits: Tensor, rowMask?: Tensor): Routing {
    if (!this.active) return this.router.route(logits, rowMask);
    const { random, noise, jitter } = this.#options;
    const { backend, shape } = logits;
    let noisy = logits;
    if (jitter > 0) {
      const factors = Float32Array.from({ length: sizeOf(shape) }, () => 1 + jitter * (2 * random.uniform() - 1));
      noisy = mul(noisy, tensor(backend, factors, shape));
    }
    if (noise > 0) noisy = add(noisy, randn(backend, shape, random, noise));
    return { ...this.router.route(noisy, rowMask), logits };
  }
}
