// RMSNorm with its weight.
import { rmsNorm } from "../ops/rms-norm.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Weights } from "./weights.js";

export interface RmsNormOptions {
  /** Length of the normalised axis: hiddenSize, or headDim for QK-Norm. */
  readonly size: number;
  readonly rmsNormEps: number;
}

/** x / sqrt(mean(x^2) + eps) * weight, over the last axis. */
export class RmsNorm {
  readonly weight: Tensor;
  readonly eps: number;

  constructor(w: Weights, { size, rmsNormEps }: RmsNormOptions) {
    this.weight = w.take("weight", [size], "ones") as Tensor;
    this.eps = rmsNormEps;
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, this.eps);
  }
}
