// How many bytes a model needs, from its config alone: to choose a format and a context length before anything is loaded.
import { ConfigError } from "../core/errors.js";
import { countParameters } from "./count-parameters.js";
import type { Qwen3Config } from "./qwen3-config.js";

export interface MemoryOptions {
  /** Stored bits per weight, scales included: 32, 16, 8.5 (q8_0), 4.5 (q4_0), ... 32 if left out. */
  readonly bitsPerWeight?: number;
  /** Sequences in the cache. 1 if left out. */
  readonly batch?: number;
  /** Tokens that the cache holds per sequence. */
  readonly tokens: number;
  /** Stored bits per cached number. 32 if left out. */
  readonly bitsPerCacheElement?: number;
  /** Adds the gradient and the two AdamW moments of every parameter. */
  readonly training?: boolean;
}

/** Bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly kvCache: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly total: number;
}

/**
 * With P parameters ({@link countParameters}), L layers, Hkv key/value heads of d, in bytes:
 *
 *     weights   = P bitsPerWeight / 8                          as if every weight were stored in the one format
 *     kvCache   = 2 L batch tokens Hkv d bitsPerCacheElement / 8    every layer holds all tokens, sliding ones too
 *     gradients = 4 P, optimizer = 8 P                         if training, else 0: f32, two AdamW moments
 *
 * Activations are not included: they depend on checkpointing and on what is recorded.
 *
 * @throws ConfigError if an option is negative or not finite, or the config breaks a rule of checkConfig.
 */
export function estimateMemory(config: Qwen3Config, options: MemoryOptions): MemoryEstimate {
  const { bitsPerWeight = 32, batch = 1, tokens, bitsPerCacheElement = 32, training = false } = options;
  for (const [name, value] of Object.entries({ bitsPerWeight, batch, tokens, bitsPerCacheElement })) {
    if (Number.isFinite(value) && value >= 0) continue;
    throw new ConfigError(`estimateMemory: ${name} must be a number of at least 0, got ${value}`);
  }
  const parameters = countParameters(config).total;
  const cached = 2 * config.numHiddenLayers * batch * tokens * config.numKeyValueHeads * config.headDim;
  const weights = Math.ceil((parameters * bitsPerWeight) / 8);
  const kvCache = Math.ceil((cached * bitsPerCacheElement) / 8);
  const gradients = training ? 4 * parameters : 0;
  const optimizer = training ? 8 * parameters : 0;
  return { weights, kvCache, gradients, optimizer, total: weights + kvCache + gradients + optimizer };
}
