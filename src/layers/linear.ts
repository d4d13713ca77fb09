// A matrix product with weights.
import type { Activations } from "../backends/backend.js";
import { add } from "../ops/binary.js";
import { concat } from "../ops/concat.js";
import { linear } from "../ops/linear.js";
import type { Tensor } from "../tensor/tensor.js";
import { readInput, readMatrix, type ActivationRounding, type Parameter, type Roundings } from "./layer.js";
import type { Weights } from "./weights.js";

export interface LinearOptions {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly bias?: boolean;
}

/** y = x weight^T + bias. */
export class Linear {
  /** [outFeatures, inFeatures], as in the checkpoint, or the upper rows of that; packed in place by `packModel`. */
  weight: Parameter;
  readonly bias: Tensor | undefined;
  /** Whether products round their inputs first; set by `packModel`. */
  activations: Activations | ActivationRounding = "f32";
  /** Of `weight`. */
  readonly roundings: Roundings = {};
  /** The rows below those of `weight`, where a file holds them in another type: a product of their own. */
  readonly below: Linear | undefined;

  constructor(w: Weights, { inFeatures, outFeatures, bias = false }: LinearOptions) {
    const [weight, ...rest] = w.takeRuns("weight", [outFeatures, inFeatures], "normal");
    this.weight = weight;
    this.below =
      rest.length === 0
        ? undefined
        : new Linear({ ...w, takeRuns: () => rest }, { inFeatures, outFeatures: outFeatures - weight.shape[0] });
    this.bias = bias ? (w.take("bias", [outFeatures], "zeros") as Tensor) : undefined;
  }

  /** @param x f32 [..., inFeatures] @returns f32 [..., outFeatures] */
  forward(x: Tensor): Tensor {
    const { bias, below } = this;
    const [given, activations] = readInput(x, this.activations);
    const weight = readMatrix(this, "weight");
    if (below === undefined) return linear(given, weight, bias, { activations });
    const y = concat([linear(given, weight, undefined, { activations }), below.forward(x)], x.shape.length - 1);
    return bias ? add(y, bias) : y;
  }
}
