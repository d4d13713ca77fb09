// Grouped-query attention: project, normalise queries and keys, turn them, append to the cache, attend, project.
import type { AttentionAttrs } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { Linear } from "../layers/linear.js";
import { RmsNorm } from "../layers/rms-norm.js";
import type { Weights } from "../layers/weights.js";
import { appendKV } from "../ops/append-kv.js";
import { mul } from "../ops/binary.js";
import { concat } from "../ops/concat.js";
import { qkNormRope } from "../ops/qk-norm-rope.js";
import { reshape } from "../ops/reshape.js";
import { slice } from "../ops/slice.js";
import { sigmoid } from "../ops/unary.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkAttentionOptions, type AttentionOptions } from "./attention-options.js";
import type { KVCache } from "./cache/kv-cache.js";
import { attentionFunctions, type AttentionFunction } from "./functions.js";
import { stepWithoutCache, type Positions, type Step } from "./positions.js";
import { Rope } from "./rope/rope.js";

/** Where a call's tokens stand: their positions, or a step that was prepared once for all layers, with the cache it belongs to. */
export type AttentionContext =
  { readonly positions: Positions } | { readonly step: Step; readonly cache?: KVCache; readonly layer?: number };

/** transformers' Qwen3Attention, with the three input projections as one product; with an output gate, its Qwen3NextAttention. */
export class Attention {
  /** `[(H + 2 Hkv) d, D]`: the rows of q, then k, then v. With an output gate, `[(2 H + 2 Hkv) d, D]`: each head of q has d rows more, its gate. */
  readonly qkvProj: Linear;
  /** [D, H d] */
  readonly oProj: Linear;
  readonly qNorm: RmsNorm | undefined;
  readonly kNorm: RmsNorm | undefined;
  readonly rope: Rope;
  readonly options: Omit<AttentionOptions, "rope">;
  readonly #attention: AttentionFunction;
  readonly #attrs: AttentionAttrs;

  /** @throws ConfigError if headDim is odd, heads do not divide, or a number is out of range */
  constructor(w: Weights, { rope, ...options }: AttentionOptions) {
    checkAttentionOptions(options);
    const {
      hiddenSize,
      numAttentionHeads,
      numKeyValueHeads,
      headDim,
      qkNorm,
      rmsNormEps,
      attentionBias = false,
      outputGate = false,
      causal = true,
      slidingWindow: window = 0,
      sinks = 0,
      softcap = 0,
    } = options;
    const inner = numAttentionHeads * headDim;
    const outFeatures = (outputGate ? 2 : 1) * inner + 2 * numKeyValueHeads * headDim;
    this.qkvProj = new Linear(w.at("qkvProj"), { inFeatures: hiddenSize, outFeatures, bias: attentionBias });
    this.oProj = new Linear(w.at("oProj"), { inFeatures: inner, outFeatures: hiddenSize, bias: attentionBias });
    this.qNorm = qkNorm ? new RmsNorm(w.at("qNorm"), { size: headDim, rmsNormEps }) : undefined;
    this.kNorm = qkNorm ? new RmsNorm(w.at("kNorm"), { size: headDim, rmsNormEps }) : undefined;
    this.rope = rope instanceof Rope ? rope : new Rope(w.backend, headDim, rope);
    this.options = options;
    this.#attention = options.attention ?? attentionFunctions.auto;
    this.#attrs = { scale: headDim ** -0.5, causal, window, sinks, softcap };
  }

  /**
   * @param x f32 [B, T, D] @returns f32 [B, T, D]; what rows of padding hold is not defined
   * @throws ShapeError if the context is not for [B, T]; ConfigError if the block is bidirectional and its step is not, or if it sees further than
   *   the cache shows
   */
  forward(x: Tensor, context: AttentionContext): Tensor {
    const { numAttentionHeads: numHeads, numKeyValueHeads: numKvHeads, headDim, rmsNormEps: eps } = this.options;
    const step = this.#stepOf(x, context);
    const { cache, layer = 0 } = "step" in context ? context : {};
    const [batch, tokens] = x.shape;
    const projected = this.qkvProj.forward(x); // [B, T, (H + 2 Hkv) d], or gates among them
    const { qkv, gate } = this.options.outputGate ? ungated(projected, this.options) : { qkv: projected };
    const table = this.rope.tableFor(step);
    const { q, k, v } = qkNormRope(qkv, this.qNorm?.weight, this.kNorm?.weight, table, step.rows, {
      numHeads,
      numKvHeads,
      eps,
    });
    const pool = cache ? cache.pool(layer) : undefined;
    if (pool) appendKV(k, v, step.slots, pool.k, pool.v);
    const slots = [batch * tokens, numKvHeads, headDim];
    const [keys, values] = [pool?.k ?? reshape(k, slots), pool?.v ?? reshape(v, slots)];
    const seen = this.#attention(q, keys, values, step.queries, step.keys, this.#attrs); // [B, T, H, d]
    const y = gate ? mul(seen, sigmoid(gate)) : seen;
    return this.oProj.forward(reshape(y, [batch, tokens, numHeads * headDim]));
  }

  #stepOf({ backend, shape }: Tensor, context: AttentionContext): Step {
    const { causal } = this.#attrs;
    const step = "step" in context ? context.step : stepWithoutCache(backend, context.positions, causal);
    if (step.rows.shape[0] !== shape[0] || step.rows.shape[1] !== shape[1]) {
      throw new ShapeError(
        `attention: positions must be for the tokens of x ${showShape(shape)}, got ${showShape(step.rows.shape)}`,
      );
    }
    if (!causal && !step.bidirectional) {
      throw new ConfigError(
        "attention: a layer that is not causal must have a step whose tokens see later ones, got a causal one; make it by stepWithoutCache(backend, positions, false), and use no cache, because what it holds never sees what comes later",
      );
    }
    this.#expectShown(step);
    return step;
  }

  #expectShown({ window: shown = 0, sinks: shownSinks = 0 }: Step): void {
    const { window, sinks } = this.#attrs;
    if (shown === 0 || (window > 0 && window <= shown && sinks <= shownSinks)) return;
    const [sees, make] =
      window === 0
        ? ["everything", "make a DenseCache or PagedCache without one"]
        : [`window ${window}, sinks ${sinks}`, "make it with at least those"];
    throw new ConfigError(
      `attention: the cache must show all that the layer sees (${sees}), got a cache of window ${shown}, sinks ${shownSinks}; ${make}`,
    );
  }
}

/** Queries and gates lie head by head, [q, gate]; the op wants the queries alone. @param x f32 [B, T, (2 H + 2 Hkv) d] */
function ungated(
  x: Tensor,
  { numAttentionHeads: H, numKeyValueHeads: Hkv, headDim: d }: Omit<AttentionOptions, "rope">,
): { readonly qkv: Tensor; readonly gate: Tensor } {
  const [B, T] = x.shape;
  const pairs = reshape(x, [B, T, H + Hkv, 2 * d]); // of queries and gates, then of two heads of k or v
  const queries = slice(pairs, [0, 0, 0, 0], [B, T, H, d]);
  const gate = slice(pairs, [0, 0, 0, d], [B, T, H, d]);
  const kv = slice(pairs, [0, 0, H, 0], [B, T, Hkv, 2 * d]);
  return { qkv: concat([reshape(queries, [B, T, H * d]), reshape(kv, [B, T, 2 * Hkv * d])], 2), gate };
}
