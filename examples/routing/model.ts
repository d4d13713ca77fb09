// A decoder put together by hand: what it takes to give every layer a router of one's own.
import { Attention, DecoderBlock, Embedding, MoELayer, RmsNorm, Rope, randomWeights, scope, tensor } from "qwen-blocks";
import { sequencePositions, stepWithoutCache, type Backend, type Router, type Routing, type Tensor } from "qwen-blocks";
import type { LanguageModel } from "qwen-blocks/train";
import { vocabSize } from "../train-toy/text.js";

export const sizes = {
  numHiddenLayers: 2,
  hiddenSize: 64,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  moeIntermediateSize: 32,
  numExperts: 16,
  rmsNormEps: 1e-6,
} as const;

export class SmallDecoder implements LanguageModel {
  readonly backend: Backend;
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderBlock[];
  readonly norm: RmsNorm;

  /** @param routers one for each layer */
  constructor(backend: Backend, seed: number, routers: readonly Router[]) {
    const { hiddenSize, headDim, rmsNormEps } = sizes;
    const w = randomWeights(backend, seed, { initializerRange: 0.1 });
    const rope = new Rope(backend, headDim, { ropeType: "default", ropeTheta: 1e4 });
    this.backend = backend;
    this.embedTokens = new Embedding(w.at("embedTokens"), { vocabSize, hiddenSize });
    this.layers = routers.map((router, i) => {
      const at = w.at("layers").at(i);
      return new DecoderBlock(at, {
        hiddenSize,
        rmsNormEps,
        selfAttn: new Attention(at.at("selfAttn"), { ...sizes, qkNorm: true, rope }),
        mlp: new MoELayer(at.at("mlp"), { ...sizes, router }),
      });
    });
    this.norm = new RmsNorm(w.at("norm"), { size: hiddenSize, rmsNormEps });
  }

  /** @returns logits f32 [B, T, V]; the routings belong to the caller */
  forward(rows: readonly ArrayLike<number>[], { routings }: { readonly routings?: Map<number, Routing> } = {}): Tensor {
    const found = new Map<number, Routing>();
    const { logits } = scope(() => {
      const shape = [rows.length, rows[0].length] as const;
      const ids = tensor(this.backend, Int32Array.from(rows.flatMap((row) => Array.from(row))), shape);
      const step = stepWithoutCache(this.backend, sequencePositions(...shape));
      const x = this.layers.reduce(
        (stream, block, layer) => block.forward(stream, { step, layer, routings: routings && found }),
        this.embedTokens.forward(ids),
      );
      return { logits: this.embedTokens.logits(this.norm.forward(x)), found };
    });
    for (const [layer, routing] of found) routings?.set(layer, routing);
    return logits;
  }
}
