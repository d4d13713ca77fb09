// Experts that cost no product: they leave a token as it is, give nothing, or give a vector that they learned. With these a router decides how
// much computation a token is worth. (Jin et al. 2024, "MoE++: accelerating mixture-of-experts methods with zero-computation experts".)
import { combineExperts } from "../ops/combine-experts.js";
import { mul } from "../ops/binary.js";
import { expectInteger, expectShape } from "../ops/expect.js";
import { gatherRows } from "../ops/gather-rows.js";
import type { Tensor } from "../tensor/tensor.js";
import { shareOf, type ExpertGroup } from "./expert-group.js";
import type { Weights } from "./weights.js";

export interface CostlessExpertsOptions {
  /** How many of them the router can choose; 1 if left out. */
  readonly numExperts?: number;
}

/** expert(x) = x. Costs one sum over the slots and one product per element. */
export class IdentityExperts implements ExpertGroup {
  readonly numExperts: number;

  /** @throws ConfigError unless there is at least one */
  constructor({ numExperts = 1 }: CostlessExpertsOptions = {}) {
    expectInteger("IdentityExperts", "numExperts", numExperts, 1);
    this.numExperts = numExperts;
  }

  forward(x: Tensor, experts: Tensor, weights: Tensor): Tensor {
    return mul(x, shareOf(experts, weights));
  }
}

/** expert(x) = 0: a slot that is spent on nothing. No op runs. */
export class ZeroExperts implements ExpertGroup {
  readonly numExperts: number;

  /** @throws ConfigError unless there is at least one */
  constructor({ numExperts = 1 }: CostlessExpertsOptions = {}) {
    expectInteger("ZeroExperts", "numExperts", numExperts, 1);
    this.numExperts = numExperts;
  }
}

export interface ConstantExpertsOptions extends CostlessExpertsOptions {
  readonly hiddenSize: number;
}

/** expert_e(x) = c_e, learned. Costs a copy of a row and a weighted sum per slot, [R, k, D] in memory. */
export class ConstantExperts implements ExpertGroup {
  readonly numExperts: number;
  /** [numExperts, D]; f32 in packed models too. */
  readonly constants: Tensor;

  /** @throws ConfigError unless there is at least one, of a width of at least 1 */
  constructor(w: Weights, { numExperts = 1, hiddenSize }: ConstantExpertsOptions) {
    expectInteger("ConstantExperts", "numExperts", numExperts, 1);
    expectInteger("ConstantExperts", "hiddenSize", hiddenSize, 1);
    this.numExperts = numExperts;
    this.constants = w.take("constants", [numExperts, hiddenSize], "normal") as Tensor;
  }

  /** @throws ShapeError if x has another width than the constants */
  forward(x: Tensor, experts: Tensor, weights: Tensor): Tensor {
    const { numExperts, constants } = this;
    expectShape("ConstantExperts", "constants", constants, [numExperts, x.shape[1]], "as wide as x");
    return combineExperts(gatherRows(this.constants, experts), weights);
  }
}
