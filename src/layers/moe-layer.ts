// A sparse mixture of experts: gate -> router -> experts -> weighted sum.
import { rowsOf } from "../core/shape.js";
import { reshape } from "../ops/reshape.js";
import type { Router } from "../routing/router.js";
import type { Tensor } from "../tensor/tensor.js";
import { Experts } from "./experts.js";
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

export interface MoELayerOptions extends MixtureOptions {
  /** I: width of one expert. */
  readonly moeIntermediateSize: number;
  /** E */
  readonly numExperts: number;
}

/**
 * y = sum over the chosen e of weight_e expert_e(x), plus the shared expert's part where there is one: s(x) or sigmoid(x w) s(x) (transformers'
 * Qwen3MoeSparseMoeBlock, Qwen2MoeSparseMoeBlock). Only the chosen experts compute, forward and backward; nothing is read back to the host.
 */
export class MoELayer implements MixtureParts {
  readonly gate: Linear;
  readonly router: Router;
  readonly experts: Experts;
  readonly sharedExpert: SwigluMlp | undefined;
  readonly sharedExpertGate: Linear | undefined;
  isolateRouter: boolean;
  isolateExperts: boolean;

  /** @throws ConfigError if an option is missing or out of range */
  constructor(w: Weights, options: MoELayerOptions) {
    const { hiddenSize, moeIntermediateSize, numExperts } = options;
    const parts = mixtureParts("MoELayer", w, numExperts, options);
    this.gate = parts.gate;
    this.router = parts.router;
    this.experts = new Experts(w.at("experts"), { numExperts, hiddenSize, moeIntermediateSize });
    this.sharedExpert = parts.sharedExpert;
    this.sharedExpertGate = parts.sharedExpertGate;
    this.isolateRouter = parts.isolateRouter;
    this.isolateExperts = parts.isolateExperts;
  }

  /**
   * @param x f32 [B, T, D] @returns output f32 [B, T, D] and the routing of each token
   * @throws ShapeError, DTypeError unless the mask is u32 [B, T]
   */
  forward(x: Tensor, options: MoEForwardOptions = {}): MoEOutput {
    return forwardMixture("MoELayer", this, x, options, (rows, routing) => {
      const slots = [rows.shape[0], rowsOf(routing.experts.shape).width];
      const output = this.experts.forward(rows, reshape(routing.experts, slots), reshape(routing.weights, slots));
      return { output, routing };
    });
  }
}
