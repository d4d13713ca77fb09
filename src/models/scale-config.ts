// Smaller or larger relatives of a model: the same architecture and proportions at another width and depth.
import { ConfigError } from "../core/errors.js";
import { checkConfig, type Qwen3Config } from "./qwen3-config.js";

/** Groups of packed formats have 32 elements, so widths that are multiples of it need no padding. */
const group = 32;

/**
 * `config` with widths and depth times `scale`; `scaleConfig(config, 1)` is `config` if its widths are multiples of 32.
 *
 * - hiddenSize, intermediateSize, moeIntermediateSize and headDim are scaled and rounded up to a multiple of 32.
 * - Heads fill the scaled attention width `numAttentionHeads * headDim * scale`, because headDim stops shrinking at 32. The number of query
 *   heads per key/value head stays, or becomes the number of heads where that is smaller: at least one head of each.
 * - numHiddenLayers is scaled and rounded, at least 1. Layer j takes its kind (mlpOnlyLayers, layerTypes) from the layer at the same
 *   relative depth, and decoderSparseStep is at most the depth, so that a sparse model keeps a sparse layer.
 * - numExperts and numExpertsPerTok stay: sparsity is the architecture. So do vocabulary, context, window and all rates.
 * - `overrides` replace fields of the result; heads follow an overridden headDim, layer kinds an overridden depth.
 *
 * @throws ConfigError if `scale` is not positive, or the result breaks a rule of {@link checkConfig}.
 */
export function scaleConfig(config: Qwen3Config, scale: number, overrides: Partial<Qwen3Config> = {}): Qwen3Config {
  checkConfig(config);
  if (!Number.isFinite(scale) || scale <= 0) {
    throw new ConfigError(`scaleConfig: scale must be a positive number, got ${scale}`);
  }
  const headDim = overrides.headDim ?? scaleWidth(config.headDim, scale);
  const numHiddenLayers = overrides.numHiddenLayers ?? Math.max(1, Math.round(config.numHiddenLayers * scale));
  return checkConfig({
    ...config,
    hiddenSize: scaleWidth(config.hiddenSize, scale),
    intermediateSize: scaleWidth(config.intermediateSize, scale),
    moeIntermediateSize: config.numExperts > 0 ? scaleWidth(config.moeIntermediateSize, scale) : 0,
    headDim,
    ...scaleHeads(config, (config.numAttentionHeads * config.headDim * scale) / headDim),
    numHiddenLayers,
    ...scaleLayerKinds(config, numHiddenLayers),
    ...overrides,
  });
}

/** The tolerance keeps a product like 0.1 * 320 from being rounded up by its last bit. */
function scaleWidth(width: number, scale: number): number {
  return Math.max(1, Math.ceil((width * scale) / group - 1e-9)) * group;
}

function scaleHeads(
  { numAttentionHeads, numKeyValueHeads }: Qwen3Config,
  target: number,
): Pick<Qwen3Config, "numAttentionHeads" | "numKeyValueHeads"> {
  const perKeyValueHead = numAttentionHeads / numKeyValueHeads;
  const heads = Math.max(1, Math.round(target));
  if (heads <= perKeyValueHead) return { numAttentionHeads: heads, numKeyValueHeads: 1 };
  const keyValueHeads = Math.round(heads / perKeyValueHead);
  return { numAttentionHeads: keyValueHeads * perKeyValueHead, numKeyValueHeads: keyValueHeads };
}

function scaleLayerKinds(
  { numHiddenLayers, mlpOnlyLayers, layerTypes, decoderSparseStep }: Qwen3Config,
  layers: number,
): Pick<Qwen3Config, "mlpOnlyLayers" | "layerTypes" | "decoderSparseStep"> {
  const model = Array.from({ length: layers }, (_, layer) => Math.floor((layer * numHiddenLayers) / layers));
  return {
    mlpOnlyLayers: model.flatMap((from, layer) => (mlpOnlyLayers.includes(from) ? [layer] : [])),
    ...(layerTypes && { layerTypes: model.map((from) => layerTypes[from]) }),
    decoderSparseStep: Math.min(decoderSparseStep, layers),
  };
}
