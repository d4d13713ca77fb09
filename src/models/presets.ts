// Known models of the family, to copy from: `{ ...presets["qwen3-0.6b"], numHiddenLayers: 4 }`.
import { noExperts, type Qwen3Config } from "./qwen3-config.js";

export type PresetName = "qwen3-0.6b" | "qwen3-8b" | "qwen3-15b-a2b" | "qwen3-30b-a3b" | "hf-default" | "toy";

/** The fields in which the released models agree. */
const released = {
  vocabSize: 151_936,
  headDim: 128,
  maxPositionEmbeddings: 40_960,
  rmsNormEps: 1e-6,
  initializerRange: 0.02,
  attentionBias: false,
  rope: Object.freeze({ ropeType: "default", ropeTheta: 1_000_000 }),
} as const;

/** `<|endoftext|>` and `<|im_end|>` of the Qwen tokenizer. */
const qwenTokens = { bosTokenId: 151_643, eosTokenId: 151_645 } as const;

/** The sparse layer that 15B-A2B and 30B-A3B share; the models differ in how many they stack. */
const sparse = {
  ...released,
  hiddenSize: 2048,
  intermediateSize: 6144,
  numAttentionHeads: 32,
  numKeyValueHeads: 4,
  tieWordEmbeddings: false,
  numExperts: 128,
  numExpertsPerTok: 8,
  moeIntermediateSize: 768,
  normTopkProb: true,
  decoderSparseStep: 1,
  mlpOnlyLayers: Object.freeze([]),
  routerAuxLossCoef: 0.001,
} as const;

/**
 * - `qwen3-0.6b`, `qwen3-8b`, `qwen3-30b-a3b`: the released models.
 * - `qwen3-15b-a2b`: never released. The layer of 30B-A3B 24 times: head width 128 and normalised weights, as every sibling has; 15.58 B
 *   parameters, 1.99 B active.
 * - `hf-default`: what `Qwen3MoeConfig()` of transformers gives: the same sizes, but head width 64, unnormalised weights, theta 10,000.
 * - `toy`: the proportions of 15B-A2B at 1.65 M parameters, 173 k active, for bytes and four special tokens: two layers, one tied embedding
 *   matrix, and a theta that suits its short context.
 */
export const presets: Readonly<Record<PresetName, Qwen3Config>> = Object.freeze({
  "qwen3-0.6b": Object.freeze({
    ...released,
    ...noExperts,
    ...qwenTokens,
    hiddenSize: 1024,
    intermediateSize: 3072,
    numHiddenLayers: 28,
    numAttentionHeads: 16,
    numKeyValueHeads: 8,
    tieWordEmbeddings: true,
  }),
  "qwen3-8b": Object.freeze({
    ...released,
    ...noExperts,
    ...qwenTokens,
    hiddenSize: 4096,
    intermediateSize: 12_288,
    numHiddenLayers: 36,
    numAttentionHeads: 32,
    numKeyValueHeads: 8,
    tieWordEmbeddings: false,
  }),
  "qwen3-15b-a2b": Object.freeze({ ...sparse, ...qwenTokens, numHiddenLayers: 24 }),
  "qwen3-30b-a3b": Object.freeze({ ...sparse, ...qwenTokens, numHiddenLayers: 48 }),
  "hf-default": Object.freeze({
    ...sparse,
    numHiddenLayers: 24,
    headDim: 64,
    maxPositionEmbeddings: 32_768,
    rope: Object.freeze({ ropeType: "default", ropeTheta: 10_000 }),
    normTopkProb: false,
  }),
  toy: Object.freeze({
    ...sparse,
    vocabSize: 260,
    hiddenSize: 64,
    intermediateSize: 192,
    numHiddenLayers: 2,
    numAttentionHeads: 4,
    numKeyValueHeads: 1,
    headDim: 32,
    maxPositionEmbeddings: 1024,
    rope: Object.freeze({ ropeType: "default", ropeTheta: 10_000 }),
    tieWordEmbeddings: true,
    moeIntermediateSize: 32,
  }),
});
