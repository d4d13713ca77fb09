// The dense feed-forward: down(silu(gate x) * up x).
import { swiglu } from "../ops/swiglu.js";
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";
import type { Weights } from "./weights.js";

export interface SwigluMlpOptions {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
}

/** Shazeer 2020, "GLU variants improve transformer"; gate and up are one product. */
export class SwigluMlp {
  /** `[2 I, D]`: the gate's rows, then those of up. */
  readonly gateUpProj: Linear;
  readonly downProj: Linear;

  constructor(w: Weights, { hiddenSize, intermediateSize }: SwigluMlpOptions) {
    this.gateUpProj = new Linear(w.at("gateUpProj"), { inFeatures: hiddenSize, outFeatures: 2 * intermediateSize });
    this.downProj = new Linear(w.at("downProj"), { inFeatures: intermediateSize, outFeatures: hiddenSize });
  }

  /** @param x f32 [..., D] @returns f32 [..., D] */
  forward(x: Tensor): Tensor {
    return this.downProj.forward(swiglu(this.gateUpProj.forward(x)));
  }
}
