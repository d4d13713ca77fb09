// What an attention block is made of, and the checks of it.
import { ConfigError } from "../core/errors.js";
import type { AttentionFunction } from "./functions.js";
import type { RopeOptions } from "./rope/rope-options.js";
import type { Rope } from "./rope/rope.js";

export interface AttentionOptions {
  /** D */
  readonly hiddenSize: number;
  /** H; a multiple of numKeyValueHeads. */
  readonly numAttentionHeads: number;
  /** Hkv */
  readonly numKeyValueHeads: number;
  /** d, even; never guessed from the other two, because released models differ. */
  readonly headDim: number;
  /** RMSNorm of each query and key head before RoPE, one weight of [d] for all heads (Qwen3). */
  readonly qkNorm: boolean;
  readonly rmsNormEps: number;
  /** A rule, or a table shared with other layers. */
  readonly rope: RopeOptions | Rope;
  /** A bias on all four projections; none unless given. */
  readonly attentionBias?: boolean;
  /** Whether a token sees none after it; true unless given. Where it is false there can be no cache. */
  readonly causal?: boolean;
  /** How many keys a query sees, its own included, or so many on either side where not causal; 0, the default, means all. */
  readonly slidingWindow?: number;
  /** So many first positions of a text stay visible behind the window; 0 unless given (Xiao et al. 2023). */
  readonly sinks?: number;
  /** Scores are bent to lie between -softcap and softcap: softcap tanh(score / softcap); 0, the default, leaves them (Gemma 2). */
  readonly softcap?: number;
  /** A sigmoid gate on each head's output, made by the query projection, which has 2 d rows per head then (Qwen3-Next); none unless given. */
  readonly outputGate?: boolean;
  /** One of {@link attentionFunctions}, or your own; `auto` unless given. */
  readonly attention?: AttentionFunction;
}

/** @throws ConfigError that names the option */
export function checkAttentionOptions(options: Omit<AttentionOptions, "rope">): void {
  const { numAttentionHeads, numKeyValueHeads, headDim, qkNorm, slidingWindow = 0, sinks = 0, softcap = 0 } = options;
  for (const field of ["hiddenSize", "numAttentionHeads", "numKeyValueHeads", "headDim"] as const) {
    if (!Number.isInteger(options[field]) || options[field] < 1) {
      throw new ConfigError(`Attention: ${field} must be a positive integer, got ${options[field]}`);
    }
  }
  if (headDim % 2 !== 0)
    throw new ConfigError(`Attention: headDim must be even, because RoPE turns pairs, got ${headDim}`);
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new ConfigError(
      `Attention: numAttentionHeads must be a multiple of numKeyValueHeads, got ${numAttentionHeads} and ${numKeyValueHeads}`,
    );
  }
  if (typeof qkNorm !== "boolean")
    throw new ConfigError(`Attention: qkNorm must be given as true or false, got ${String(qkNorm)}`);
  for (const [field, value] of Object.entries({ slidingWindow, sinks })) {
    if (!Number.isInteger(value) || value < 0)
      throw new ConfigError(`Attention: ${field} must be an integer of at least 0, got ${value}`);
  }
  if (!Number.isFinite(softcap) || softcap < 0)
    throw new ConfigError(`Attention: softcap must be a number of at least 0, got ${softcap}`);
}
