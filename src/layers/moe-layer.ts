// A sparse mixture of experts: gate -> router -> experts -> weighted sum.
import { ConfigError } from "../core/errors.js";
import { rowsOf } from "../core/shape.js";
import { linear } from "../ops/linear.js";
import { reshape } from "../ops/reshape.js";
import type { Router, Routing } from "../routing/router.js";
import type { Tensor } from "../tensor/tensor.js";
import { Experts } from "./experts.js";
import { Linear } from "./linear.js";
import type { Weights } from "./weights.js";

export interface MoELayerOptions {
  readonly hiddenSize: number;
  /** I: width of one expert. */
  readonly moeIntermediateSize: number;
  /** E */
  readonly numExperts: number;
  readonly router: Router;
}

export interface MoEForwardOptions {
  /** u32 [B, T]: rows with 0 visit no expert and give 0. */
  readonly rowMask?: Tensor;
}

/** What a mixture returns: its output, and the routing that losses and statistics take. */
export interface MoEOutput {
  readonly output: Tensor;
  readonly routing: Routing;
}

/** Only the chosen experts compute, forward and backward; nothing is read back to the host. */
export class MoELayer {
  /** The router's projection [E, D]; its product and softmax are f32, also in packed models. */
  readonly gate: Linear;
  readonly router: Router;
  readonly experts: Experts;

  constructor(w: Weights, { hiddenSize, moeIntermediateSize, numExperts, router }: MoELayerOptions) {
    if (!router)
      throw new ConfigError(
        "MoELayer: a router must be given, got none; pass new TopKRouter({ numExpertsPerTok, normTopkProb })",
      );
    this.gate = new Linear(w.at("gate"), { inFeatures: hiddenSize, outFeatures: numExperts });
    this.router = router;
    this.experts = new Experts(w.at("experts"), { numExperts, hiddenSize, moeIntermediateSize });
  }

  /** @param x f32 [B, T, D] @returns output f32 [B, T, D] and the routing of each token */
  forward(x: Tensor, { rowMask }: MoEForwardOptions = {}): MoEOutput {
    const routing = this.router.route(linear(x, this.gate.weight), rowMask);
    const { rows, width } = rowsOf(x.shape);
    const slots = rowsOf(routing.experts.shape).width;
    const y = this.experts.forward(
      reshape(x, [rows, width]),
      reshape(routing.experts, [rows, slots]),
      reshape(routing.weights, [rows, slots]),
    );
    return { output: reshape(y, x.shape), routing };
  }
}
