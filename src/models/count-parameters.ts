// How many numbers a model stores, and how many of them one token reads.
import { checkConfig, isSparseLayer, type Qwen3Config } from "./qwen3-config.js";

export interface ParameterCount {
  /** Parameters stored. */
  readonly total: number;
  /** Parameters that one token's forward pass uses: of the experts, only the chosen k. */
  readonly active: number;
}

export interface ModelParameterCount extends ParameterCount {
  /** [numHiddenLayers] */
  readonly perLayer: readonly ParameterCount[];
}

/**
 * Counts parameters. With D = hiddenSize, H and Hkv heads of d, I = moeIntermediateSize, F = intermediateSize, E experts of which k are
 * chosen, V = vocabSize, L layers:
 *
 *     attention = D H d + 2 D Hkv d + H d D + 2 d   (+ H d + 2 Hkv d + D with attentionBias)
 *     layer     = attention + 2 D + (3 D F, or E D + E 3 D I with experts)
 *     total     = L layers + D + V D                (+ V D if the output head is not tied)
 *
 * `active` has k in place of the E experts, and counts the whole embedding matrix and the whole output head, as model names do: 15.58 B
 * total and 1.99 B active for "15B-A2B".
 *
 * @throws ConfigError if the config breaks a rule of checkConfig.
 */
export function countParameters(config: Qwen3Config): ModelParameterCount {
  checkConfig(config);
  const { hiddenSize, vocabSize, numHiddenLayers, tieWordEmbeddings } = config;
  const perLayer = Array.from({ length: numHiddenLayers }, (_, layer) => countLayer(config, layer));
  const outside = hiddenSize + vocabSize * hiddenSize * (tieWordEmbeddings ? 1 : 2);
  const sum = (of: (count: ParameterCount) => number): number => perLayer.reduce((n, count) => n + of(count), outside);
  return { total: sum((count) => count.total), active: sum((count) => count.active), perLayer };
}

function countLayer(config: Qwen3Config, layer: number): ParameterCount {
  const { hiddenSize, intermediateSize, numExperts, numExpertsPerTok, moeIntermediateSize } = config;
  const rest = countAttention(config) + 2 * hiddenSize;
  if (!isSparseLayer(config, layer)) {
    const total = rest + 3 * hiddenSize * intermediateSize;
    return { total, active: total };
  }
  const gate = numExperts * hiddenSize;
  const expert = 3 * hiddenSize * moeIntermediateSize;
  return { total: rest + gate + numExperts * expert, active: rest + gate + numExpertsPerTok * expert };
}

/** The four projections, and one norm weight [d] each for queries and keys. */
function countAttention(config: Qwen3Config): number {
  const { hiddenSize, headDim } = config;
  const queries = config.numAttentionHeads * headDim;
  const keys = config.numKeyValueHeads * headDim;
  const biases = config.attentionBias ? queries + 2 * keys + hiddenSize : 0;
  return hiddenSize * (2 * queries + 2 * keys) + 2 * headDim + biases;
}
