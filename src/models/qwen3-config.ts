// What a Qwen3 decoder is made of: config.json in camelCase, dense and mixture-of-experts models alike, and the questions blocks ask it.
import { checkRopeOptions, type RopeOptions } from "../attention/rope/rope-options.js";
import { ConfigError, IndexError } from "../core/errors.js";

export type LayerType = "full_attention" | "sliding_attention";

/** The fields of config.json (transformers: Qwen3Config, Qwen3MoeConfig) in camelCase. Nothing has a default: a value is given or read. */
export interface Qwen3Config {
  /** Tokens with an embedding. */
  readonly vocabSize: number;
  /** Width of the residual stream, D. */
  readonly hiddenSize: number;
  /** Hidden width of the feed-forward of layers without experts. */
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  /** Query heads, H. */
  readonly numAttentionHeads: number;
  /** Key and value heads, Hkv; divides H. */
  readonly numKeyValueHeads: number;
  /** Width of one head, d; even. Not tied to hiddenSize / numAttentionHeads, so never derived from it. */
  readonly headDim: number;
  /** Tokens of context the model is made for. */
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  /** Standard deviation of fresh weights. */
  readonly initializerRange: number;
  /** Whether the output head is the embedding matrix. */
  readonly tieWordEmbeddings: boolean;
  /** Whether the four attention projections have biases. */
  readonly attentionBias: boolean;
  readonly rope: RopeOptions;
  /** How many keys a query of a sliding layer sees, its own included. Left out: every layer sees everything. */
  readonly slidingWindow?: number;
  /** One per layer. Left out: all layers slide if `slidingWindow` is given, else none. */
  readonly layerTypes?: readonly LayerType[];
  /** The attention function by its name in the record that the model is given; `auto` unless given. No part of config.json. */
  readonly attnImplementation?: string;
  /** Experts per sparse layer, E; 0 for a dense model, whose other expert fields are those of {@link noExperts}. */
  readonly numExperts: number;
  /** Experts that a token visits, k. */
  readonly numExpertsPerTok: number;
  /** Hidden width of one expert, I. */
  readonly moeIntermediateSize: number;
  /** Whether the k chosen probabilities are divided by their sum. The reference class says no, every released model yes. */
  readonly normTopkProb: boolean;
  /** Layer i has experts only if i + 1 is a multiple of it. */
  readonly decoderSparseStep: number;
  /** Layers (from 0) that have no experts whatever the step says. */
  readonly mlpOnlyLayers: readonly number[];
  /** Weight of the load-balancing loss. */
  readonly routerAuxLossCoef: number;
  readonly padTokenId?: number;
  readonly bosTokenId?: number;
  /** One id, or several that each end a text. */
  readonly eosTokenId?: number | readonly number[];
}

/** The fields that describe experts. */
export type ExpertFields = Pick<
  Qwen3Config,
  | "numExperts"
  | "numExpertsPerTok"
  | "moeIntermediateSize"
  | "normTopkProb"
  | "decoderSparseStep"
  | "mlpOnlyLayers"
  | "routerAuxLossCoef"
>;

/** The expert fields of a dense model, to spread into its config. */
export const noExperts: ExpertFields = Object.freeze({
  numExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  normTopkProb: false,
  decoderSparseStep: 1,
  mlpOnlyLayers: Object.freeze([]),
  routerAuxLossCoef: 0,
});

const positiveIntegers = [
  "vocabSize",
  "hiddenSize",
  "intermediateSize",
  "numHiddenLayers",
  "numAttentionHeads",
  "numKeyValueHeads",
  "headDim",
  "maxPositionEmbeddings",
  "decoderSparseStep",
] as const satisfies readonly (keyof Qwen3Config)[];

/**
 * Checks that every field is present, in range, and fits the others; returns the config it was given.
 *
 * @throws ConfigError that names the field.
 */
export function checkConfig(config: Qwen3Config): Qwen3Config {
  for (const field of positiveIntegers) checkField(config, field, "a positive integer", isPositiveInteger);
  checkField(config, "headDim", "even (RoPE turns pairs of components)", (d: number) => d % 2 === 0);
  const { numAttentionHeads, numKeyValueHeads } = config;
  checkField(config, "numKeyValueHeads", `a divisor of numAttentionHeads = ${numAttentionHeads}`, () => {
    return numAttentionHeads % numKeyValueHeads === 0;
  });
  checkField(config, "rmsNormEps", "a positive number", (eps: number) => Number.isFinite(eps) && eps > 0);
  checkField(config, "initializerRange", "a number of at least 0", isAtLeastZero);
  checkField(config, "tieWordEmbeddings", "true or false", isBoolean);
  checkField(config, "attentionBias", "true or false", isBoolean);
  checkRope(config);
  checkWindow(config);
  checkExperts(config);
  checkTokenIds(config);
  return config;
}

/**
 * Whether layer `layer` (from 0) has experts: `(layer + 1) % decoderSparseStep == 0`, not in `mlpOnlyLayers`, and there are experts at all
 * (transformers: Qwen3MoeDecoderLayer).
 *
 * @throws IndexError if there is no such layer.
 */
export function isSparseLayer(config: Qwen3Config, layer: number): boolean {
  checkLayer("isSparseLayer", config, layer);
  const { numExperts, decoderSparseStep, mlpOnlyLayers } = config;
  return numExperts > 0 && (layer + 1) % decoderSparseStep === 0 && !mlpOnlyLayers.includes(layer);
}

/**
 * The attention window of layer `layer` (from 0) as the attention op takes it: how many keys a query sees, its own included; 0 for all.
 *
 * @throws IndexError if there is no such layer.
 */
export function windowOf(config: Qwen3Config, layer: number): number {
  checkLayer("windowOf", config, layer);
  const type = config.layerTypes?.[layer] ?? "sliding_attention";
  return type === "sliding_attention" ? (config.slidingWindow ?? 0) : 0;
}

function checkLayer(where: string, config: Qwen3Config, layer: number): void {
  if (Number.isInteger(layer) && layer >= 0 && layer < config.numHiddenLayers) return;
  throw new IndexError(`${where}: layer must be in 0..${config.numHiddenLayers - 1}, got ${layer}`);
}

/** Of the rules that have a context length, two have the config's own. */
function checkRope({ rope, headDim, maxPositionEmbeddings }: Qwen3Config): void {
  checkRopeOptions(headDim, rope);
  if (rope.ropeType !== "dynamic" && rope.ropeType !== "longrope") return;
  if (rope.maxPositionEmbeddings === undefined || rope.maxPositionEmbeddings === maxPositionEmbeddings) return;
  throw new ConfigError(
    `config.rope.maxPositionEmbeddings: must be the config's maxPositionEmbeddings ${maxPositionEmbeddings}, got ${rope.maxPositionEmbeddings}`,
  );
}

function checkWindow(config: Qwen3Config): void {
  const { slidingWindow, layerTypes, numHiddenLayers } = config;
  if (slidingWindow !== undefined) checkField(config, "slidingWindow", "a positive integer", isPositiveInteger);
  if (layerTypes === undefined) return;
  checkField(
    config,
    "layerTypes",
    `one of full_attention, sliding_attention per layer (${numHiddenLayers})`,
    (types) => {
      if (!Array.isArray(types) || types.length !== numHiddenLayers) return false;
      return types.every((type) => type === "full_attention" || type === "sliding_attention");
    },
  );
  checkField(config, "layerTypes", "all full_attention unless slidingWindow is given", () => {
    return slidingWindow !== undefined || !layerTypes.includes("sliding_attention");
  });
}

function checkExperts(config: Qwen3Config): void {
  const { numExperts, numHiddenLayers } = config;
  checkField(config, "numExperts", "an integer of at least 0", (n: number) => Number.isSafeInteger(n) && n >= 0);
  checkField(config, "normTopkProb", "true or false: it is never guessed", isBoolean);
  checkField(config, "mlpOnlyLayers", `a list of different layers in 0..${numHiddenLayers - 1}`, (layers) => {
    if (!Array.isArray(layers) || new Set(layers).size !== layers.length) return false;
    return layers.every((layer) => Number.isInteger(layer) && layer >= 0 && layer < numHiddenLayers);
  });
  checkField(config, "routerAuxLossCoef", "a number of at least 0", isAtLeastZero);
  if (numExperts > 0) {
    checkField(config, "numExpertsPerTok", `an integer from 1 to numExperts = ${numExperts}`, (k: number) => {
      return isPositiveInteger(k) && k <= numExperts;
    });
    checkField(config, "moeIntermediateSize", "a positive integer", isPositiveInteger);
    return;
  }
  for (const field of Object.keys(noExperts) as (keyof ExpertFields)[]) {
    const dense = JSON.stringify(noExperts[field]);
    checkField(config, field, `${dense} where numExperts is 0; spread noExperts into a dense config`, (value) => {
      return JSON.stringify(value) === dense;
    });
  }
}

function checkTokenIds(config: Qwen3Config): void {
  for (const field of ["padTokenId", "bosTokenId", "eosTokenId"] as const) {
    const value = config[field];
    if (value === undefined) continue;
    checkField(config, field, `in 0..${config.vocabSize - 1}, the vocabulary`, () => {
      const ids: readonly unknown[] = Array.isArray(value) ? value : [value];
      return (
        ids.length > 0 &&
        ids.every((id) => typeof id === "number" && Number.isSafeInteger(id) && id >= 0 && id < config.vocabSize)
      );
    });
  }
}

function checkField<F extends keyof Qwen3Config>(
  config: Qwen3Config,
  field: F,
  rule: string,
  holds: (value: NonNullable<Qwen3Config[F]>) => boolean,
): void {
  const value = config[field];
  if (value !== undefined && value !== null && holds(value)) return;
  throw new ConfigError(
    `config.${field}: must be ${rule}, got ${typeof value === "number" ? value : JSON.stringify(value)}`,
  );
}

function isPositiveInteger(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isAtLeastZero(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) >= 0;
}

function isBoolean(value: unknown): boolean {
  return typeof value === "boolean";
}
