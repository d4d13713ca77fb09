// The smallest config that has everything: grouped heads, a head width that is not hiddenSize / heads, experts, two layers.
import type { Qwen3Config } from "qwen-blocks";

export const tinyConfig = (change: Partial<Qwen3Config> = {}): Qwen3Config => ({
  vocabSize: 11,
  hiddenSize: 6,
  intermediateSize: 5,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
  maxPositionEmbeddings: 64,
  rmsNormEps: 1e-6,
  initializerRange: 0.02,
  tieWordEmbeddings: false,
  attentionBias: false,
  rope: { ropeType: "default", ropeTheta: 100 },
  numExperts: 4,
  numExpertsPerTok: 2,
  moeIntermediateSize: 3,
  normTopkProb: true,
  decoderSparseStep: 1,
  mlpOnlyLayers: [],
  routerAuxLossCoef: 0.01,
  ...change,
});

/** A dense model of the same size. */
export const denseConfig = (change: Partial<Qwen3Config> = {}): Qwen3Config =>
  tinyConfig({
    numExperts: 0,
    numExpertsPerTok: 0,
    moeIntermediateSize: 0,
    normTopkProb: false,
    routerAuxLossCoef: 0,
    ...change,
  });
