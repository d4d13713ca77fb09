// Token ids to vectors, and, where the head is tied, vectors to logits.
import type { Activations } from "../backends/backend.js";
import { gatherRows } from "../ops/gather-rows.js";
import { linear } from "../ops/linear.js";
import type { Tensor } from "../tensor/tensor.js";
import { readInput, readMatrix, type ActivationRounding, type Parameter, type Roundings } from "./layer.js";
import type { Weights } from "./weights.js";

export interface EmbeddingOptions {
  readonly vocabSize: number;
  readonly hiddenSize: number;
}

export class Embedding {
  /** [V, D] */
  weight: Parameter;
  /** Whether the tied head's product rounds its input first; set by `packModel`. */
  activations: Activations | ActivationRounding = "f32";
  /** Of `weight`. */
  readonly roundings: Roundings = {};

  constructor(w: Weights, { vocabSize, hiddenSize }: EmbeddingOptions) {
    this.weight = w.take("weight", [vocabSize, hiddenSize], "normal");
  }

  /** @param ids i32 [B, T]; an id out of range gives zeros @returns f32 [B, T, D] */
  forward(ids: Tensor): Tensor {
    return gatherRows(readMatrix(this, "weight"), ids);
  }

  /** The tied head. @param x f32 [..., D] @returns logits f32 [..., V] */
  logits(x: Tensor): Tensor {
    const [given, activations] = readInput(x, this.activations);
    return linear(given, readMatrix(this, "weight"), undefined, { activations });
  }
}
