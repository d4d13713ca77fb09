// Unlike experts under one router: groups of other widths, experts that cost nothing, and layers of your own.
import { ConfigError } from "../core/errors.js";
import { add, and, less, sub } from "../ops/binary.js";
import { fill, zeros } from "../ops/fill.js";
import { expectInteger, expectRank, expectShape } from "../ops/expect.js";
import { reshape } from "../ops/reshape.js";
import { select } from "../ops/select.js";
import { expectOption } from "../routing/expect-option.js";
import type { Router, Routing } from "../routing/router.js";
import type { Tensor } from "../tensor/tensor.js";
import { capacityOf, withinCapacity } from "./expert-capacity.js";
import type { ExpertGroup } from "./expert-group.js";
import type { Linear } from "./linear.js";
import {
  forwardMixture,
  mixtureParts,
  type MixtureOptions,
  type MixtureParts,
  type MoEForwardOptions,
  type MoEOutput,
} from "./mixture.js";
import type { SwigluMlp } from "./swiglu-mlp.js";
import type { Weights } from "./weights.js";

export interface ExpertMixtureOptions extends MixtureOptions {
  /** The router's experts in order: those of the first group, then those of the second, ... */
  readonly groups: readonly ExpertGroup[];
}

/**
 * y = sum over the chosen e of weight_e expert_e(x), plus the shared expert's part as in {@link MoELayer}. What an expert costs is its group's
 * affair: of a packed group ({@link Experts}) only the chosen ones compute. Nothing is read back to the host.
 */
export class ExpertMixture implements MixtureParts {
  readonly gate: Linear;
  readonly router: Router;
  readonly groups: readonly ExpertGroup[];
  readonly sharedExpert: SwigluMlp | undefined;
  readonly sharedExpertGate: Linear | undefined;
  isolateRouter: boolean;
  isolateExperts: boolean;

  /** @throws ConfigError if an option is missing or out of range, or there is no group */
  constructor(w: Weights, options: ExpertMixtureOptions) {
    const { groups } = options;
    if (!groups?.length) {
      throw new ConfigError(
        "ExpertMixture: at least one group of experts must be given, got none; pass new Experts(...)",
      );
    }
    for (const { numExperts, capacityFactor = 0 } of groups) {
      expectInteger("ExpertMixture", "numExperts of a group", numExperts, 1);
      const fits = capacityFactor >= 0;
      expectOption("ExpertMixture", "capacityFactor of a group", capacityFactor, "a number of at least 0", fits);
    }
    const numExperts = groups.reduce((count, group) => count + group.numExperts, 0);
    const parts = mixtureParts("ExpertMixture", w, numExperts, options);
    this.gate = parts.gate;
    this.router = parts.router;
    this.groups = groups;
    this.sharedExpert = parts.sharedExpert;
    this.sharedExpertGate = parts.sharedExpertGate;
    this.isolateRouter = parts.isolateRouter;
    this.isolateExperts = parts.isolateExperts;
  }

  /**
   * @param x f32 [B, T, D] @returns output f32 [B, T, D] and the routing of each token, after the capacities of the groups
   * @throws ShapeError, DTypeError unless the mask is u32 [B, T]
   */
  forward(x: Tensor, options: MoEForwardOptions = {}): MoEOutput {
    expectRank("ExpertMixture", "x", x, 3, "[B, T, D]");
    return forwardMixture("ExpertMixture", this, x, options, (rows, routing) =>
      this.#visit(rows, withinCapacity(this.groups, routing, this.router)),
    );
  }

  #visit(rows: Tensor, routing: Routing): MoEOutput {
    const [batch, tokens, k] = routing.experts.shape;
    const experts = reshape(routing.experts, [batch * tokens, k]);
    const weights = reshape(routing.weights, [batch * tokens, k]);
    let output: Tensor | undefined;
    let first = 0;
    for (const group of this.groups) {
      const capacity = capacityOf(group, routing);
      const part = group.forward?.(rows, this.#within(group, experts, first), weights, { batch, capacity });
      if (part) expectShape("ExpertMixture", "what a group gives", part, rows.shape, "the shape of its input");
      output = output && part ? add(output, part) : (part ?? output);
      first += group.numExperts;
    }
    return { output: output ?? zeros(rows.backend, rows.shape), routing };
  }

  /** Experts counted from the first of the group; -1 for those of others. */
  #within({ numExperts }: ExpertGroup, experts: Tensor, first: number): Tensor {
    if (this.groups.length === 1) return experts;
    const integer = (value: number): Tensor => fill(experts.backend, [], value, { dtype: "i32" });
    const own = sub(experts, integer(first));
    const inside = and(less(integer(-1), own), less(own, integer(numExperts)));
    return select(inside, own, integer(-1));
  }
}
