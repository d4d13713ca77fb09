// The smallest config that has everything: grouped heads, a head width that is not hiddenSize / heads, experts, two layers.
import { Random, tensor, weightsFrom, type Backend, type Qwen3Config, type Weights } from "qwen-blocks";

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

/** Random weights in which norms are not 1 and biases not 0, so that nothing cancels: RoPE and a norm of ones, say, could change places. */
export function livelyWeights(backend: Backend, seed: number): Weights {
  const root = new Random(seed);
  return weightsFrom(backend, (path, shape, init) => {
    const random = root.fork(path);
    const count = shape.reduce((size, extent) => size * extent, 1);
    const data = Float32Array.from({ length: count }, () => (init === "ones" ? 1 : 0) + 0.4 * random.normal());
    return tensor(backend, data, shape);
  });
}
