// A matrix product with weights.
import type { Activations } from "../backends/backend.js";
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
  /** [outFeatures, inFeatures], as in the checkpoint; packed in place by `packModel`. */
  weight: Parameter;
  readonly bias: Tensor | undefined;
  /** Whether products round their inputs first; set by `packModel`. */
  activations: Activations | ActivationRounding = "f32";
  /** Of `weight`. */
  readonly roundings: Roundings = {};

  constructor(w: Weights, { inFeatures, outFeatures, bias = false }: LinearOptions) {
    this.weight = w.take("weight", [outFeatures, inFeatures], "normal");
    this.bias = bias ? (w.take("bias", [outFeatures], "zeros") as Tensor) : undefined;
  }

  /** @param x f32 [..., inFeatures] @returns f32 [..., outFeatures] */
  forward(x: Tensor): Tensor {
    const [given, activations] = readInput(x, this.activations);
    return linear(given, readMatrix(this, "weight"), this.bias, { activations });
  }
}
