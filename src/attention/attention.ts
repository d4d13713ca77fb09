// Grouped-query attention: project, normalise queries and keys, turn them, append to the cache, attend, project.
import { ConfigError, ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { Linear } from "../layers/linear.js";
import { RmsNorm } from "../layers/rms-norm.js";
import type { Weights } from "../layers/weights.js";
import { appendKV } from "../ops/append-kv.js";
import { qkNormRope } from "../ops/qk-norm-rope.js";
import { reshape } from "../ops/reshape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { KVCache } from "./cache/kv-cache.js";
import { attentionFunctions, type AttentionFunction } from "./functions.js";
import { stepWithoutCache, type Positions, type Step } from "./positions.js";
import type { RopeOptions } from "./rope/rope-options.js";
import { Rope } from "./rope/rope.js";

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
  /** How many keys a query sees, its own included; 0, the default, means all. */
  readonly slidingWindow?: number;
  /** One of {@link attentionFunctions}, or your own; `auto` unless given. */
  readonly attention?: AttentionFunction;
}

/** Where a call's tokens stand: their positions, or a step that was prepared once for all layers, with the cache it belongs to. */
export type AttentionContext =
  { readonly positions: Positions } | { readonly step: Step; readonly cache?: KVCache; readonly layer?: number };

/** transformers' Qwen3Attention, with the three input projections as one product. */
export class Attention {
  /** `[(H + 2 Hkv) d, D]`: the rows of q, then k, then v. */
  readonly qkvProj: Linear;
  /** [D, H d] */
  readonly oProj: Linear;
  readonly qNorm: RmsNorm | undefined;
  readonly kNorm: RmsNorm | undefined;
  readonly rope: Rope;
  readonly options: Omit<AttentionOptions, "rope">;
  readonly #attention: AttentionFunction;

  /** @throws ConfigError if headDim is odd, heads do not divide, or a size is no positive integer */
  constructor(w: Weights, { rope, ...options }: AttentionOptions) {
    check(options);
    const {
      hiddenSize,
      numAttentionHeads,
      numKeyValueHeads,
      headDim,
      qkNorm,
      rmsNormEps,
      attentionBias = false,
    } = options;
    const inner = numAttentionHeads * headDim;
    const outFeatures = inner + 2 * numKeyValueHeads * headDim;
    this.qkvProj = new Linear(w.at("qkvProj"), { inFeatures: hiddenSize, outFeatures, bias: attentionBias });
    this.oProj = new Linear(w.at("oProj"), { inFeatures: inner, outFeatures: hiddenSize, bias: attentionBias });
    this.qNorm = qkNorm ? new RmsNorm(w.at("qNorm"), { size: headDim, rmsNormEps }) : undefined;
    this.kNorm = qkNorm ? new RmsNorm(w.at("kNorm"), { size: headDim, rmsNormEps }) : undefined;
    this.rope = rope instanceof Rope ? rope : new Rope(w.backend, headDim, rope);
    this.options = options;
    this.#attention = options.attention ?? attentionFunctions.auto;
  }

  /**
   * @param x f32 [B, T, D] @returns f32 [B, T, D]; what rows of padding hold is not defined
   * @throws ShapeError if the context is not for [B, T]
   */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const { numAttentionHeads: numHeads, numKeyValueHeads: numKvHeads, headDim, rmsNormEps: eps } = this.options;
    const {
      step,
      cache,
      layer = 0,
    } = "step" in context ? context : { step: stepWithoutCache(x.backend, context.positions) };
    const [batch, tokens] = x.shape;
    if (step.rows.shape[0] !== batch || step.rows.shape[1] !== tokens) {
      throw new ShapeError(
        `attention: positions must be for the tokens of x ${showShape(x.shape)}, got ${showShape(step.rows.shape)}`,
      );
    }
    const qkv = this.qkvProj.forward(x); // [B, T, (H + 2 Hkv) d]
    const table = this.rope.tableFor(step);
    const { q, k, v } = qkNormRope(qkv, this.qNorm?.weight, this.kNorm?.weight, table, step.rows, {
      numHeads,
      numKvHeads,
      eps,
    });
    const pool = cache ? cache.pool(layer) : undefined;
    if (pool) appendKV(k, v, step.slots, pool.k, pool.v);
    const slots = [batch * tokens, numKvHeads, headDim];
    const y = this.#attention(q, pool?.k ?? reshape(k, slots), pool?.v ?? reshape(v, slots), step.queries, step.keys, {
      scale: headDim ** -0.5,
      causal: true,
      window: this.options.slidingWindow ?? 0,
      sinks: 0,
      softcap: 0,
    }); // [B, T, H, d]
    return this.oProj.forward(reshape(y, [batch, tokens, numHeads * headDim]));
  }
}

function check(options: Omit<AttentionOptions, "rope">): void {
  for (const field of ["hiddenSize", "numAttentionHeads", "numKeyValueHeads", "headDim"] as const) {
    if (!Number.isInteger(options[field]) || options[field] < 1) {
      throw new ConfigError(`Attention: ${field} must be a positive integer, got ${options[field]}`);
    }
  }
  const { numAttentionHeads, numKeyValueHeads, headDim, qkNorm } = options;
  if (headDim % 2 !== 0)
    throw new ConfigError(`Attention: headDim must be even, because RoPE turns pairs, got ${headDim}`);
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new ConfigError(
      `Attention: numAttentionHeads must be a multiple of numKeyValueHeads, got ${numAttentionHeads} and ${numKeyValueHeads}`,
    );
  }
  if (typeof qkNorm !== "boolean")
    throw new ConfigError(`Attention: qkNorm must be given as true or false, got ${String(qkNorm)}`);
}
