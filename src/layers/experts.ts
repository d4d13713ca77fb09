// E feed-forwards of one shape, of which each token visits a few.
import type { Activations } from "../backends/backend.js";
import { combineExperts } from "../ops/combine-experts.js";
import { expectInteger } from "../ops/expect.js";
import { expertLinear } from "../ops/expert-linear.js";
import { expertMlp } from "../ops/expert-mlp.js";
import { swiglu } from "../ops/swiglu.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ExpertGroup } from "./expert-group.js";
import { readInput, readMatrix, type ActivationRounding, type Parameter, type Roundings } from "./layer.js";
import type { Weights } from "./weights.js";

export interface ExpertsOptions {
  readonly numExperts: number;
  readonly hiddenSize: number;
  readonly moeIntermediateSize: number;
}

export class Experts implements ExpertGroup {
  readonly numExperts: number;
  /** `[E, 2 I, D]`: of each expert the gate's rows, then those of up. */
  gateUpProj: Parameter;
  /** [E, D, I] */
  downProj: Parameter;
  /** Whether products round their inputs first; set by `packModel`. */
  activations: Activations | ActivationRounding = "f32";
  /** Of `gateUpProj` and `downProj`. */
  readonly roundings: Roundings = {};

  /** @throws ConfigError unless all sizes are positive integers */
  constructor(w: Weights, { numExperts, hiddenSize, moeIntermediateSize }: ExpertsOptions) {
    for (const [name, size] of Object.entries({ numExperts, hiddenSize, moeIntermediateSize }))
      expectInteger("Experts", name, size, 1);
    this.numExperts = numExperts;
    this.gateUpProj = w.take("gateUpProj", [numExperts, 2 * moeIntermediateSize, hiddenSize], "normal");
    this.downProj = w.take("downProj", [numExperts, hiddenSize, moeIntermediateSize], "normal");
  }

  /**
   * y = sum over slots of weight * down_e(silu(gate_e x) * up_e x), e being the slot's expert; a slot of -1 adds nothing.
   * @param x f32 [R, D] @param experts i32 [R, k] @param weights f32 [R, k] @returns f32 [R, D]
   */
  forward(x: Tensor, experts: Tensor, weights: Tensor): Tensor {
    const [gateUp, down] = [readMatrix(this, "gateUpProj"), readMatrix(this, "downProj")];
    if (typeof this.activations === "string")
      return expertMlp(x, gateUp, down, experts, weights, { activations: this.activations });
    // The composite of the op, for the rounding comes between its products.
    const [given] = readInput(x, this.activations);
    const [hidden] = readInput(swiglu(expertLinear(given, gateUp, experts)), this.activations);
    return combineExperts(expertLinear(hidden, down, experts), weights);
  }
}
