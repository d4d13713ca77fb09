// The decoder, dense or with experts. START READING HERE. The data path, each name a file that calls the next:
//   io/checkpoint -> layers/weights -> models/qwen3 -> layers/embedding -> models/decoder-block -> layers/rms-norm -> attention/attention
//   -> attention/rope -> attention/cache -> layers/moe-layer -> routing/top-k-router -> layers/experts -> layers/linear (logits) -> models/sample
import { Attention } from "../attention/attention.js";
import type { KVCache } from "../attention/cache/kv-cache.js";
import { attentionFunctions, type AttentionFunction } from "../attention/functions.js";
import { isPadded, sequencePositions, stepWithoutCache, type Positions } from "../attention/positions.js";
import { Rope } from "../attention/rope/rope.js";
import type { Backend } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { Embedding } from "../layers/embedding.js";
import { Linear } from "../layers/linear.js";
import { MoELayer } from "../layers/moe-layer.js";
import { RmsNorm } from "../layers/rms-norm.js";
import { SwigluMlp } from "../layers/swiglu-mlp.js";
import type { Weights } from "../layers/weights.js";
import { expectDType, expectRank } from "../ops/expect.js";
import { gatherRows } from "../ops/gather-rows.js";
import { reshape } from "../ops/reshape.js";
import type { Routing } from "../routing/router.js";
import { TopKRouter } from "../routing/top-k-router.js";
import { tensor } from "../tensor/create.js";
import { scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { cacheFor, type CacheKind, type CacheKinds, type MakeCacheOptions } from "./cache-kinds.js";
import { DecoderBlock, type DecoderBlockContext, type FeedForward } from "./decoder-block.js";
import { checkConfig, isSparseLayer, windowOf, type Qwen3Config } from "./qwen3-config.js";
import { flatIds } from "./token-ids.js";

/** Token ids of a batch: rows of equal length, checked against the vocabulary, or a tensor i32 [B, T], which is not read back. */
export type TokenIds = Tensor | readonly ArrayLike<number>[];

export interface ForwardOptions {
  /** Where the tokens stand. By default each row goes on where the cache ends, or begins at 0. */
  readonly positions?: Positions;
  readonly cache?: KVCache;
  /** Receives each mixture's routing by layer index, for losses and statistics; the caller's scope owns what it receives. */
  readonly routings?: Map<number, Routing>;
  /** "last": only the logits after each row's last token, [B, 1, V]. */
  readonly logits?: "all" | "last";
}

export interface Qwen3Options {
  /** What `config.attnImplementation` names one of, such as `{ ...attentionFunctions, mine }`; the library's own unless given. */
  readonly attentionFunctions?: Readonly<Record<string, AttentionFunction>>;
}

/** transformers' Qwen3ForCausalLM and Qwen3MoeForCausalLM: the config chooses the feed-forward, window and RoPE of each layer. */
export class Qwen3 {
  readonly config: Qwen3Config;
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderBlock[];
  readonly norm: RmsNorm;
  /** Absent where the embedding serves as the head. */
  readonly lmHead: Linear | undefined;
  readonly #backend: Backend;

  /** @throws ConfigError if the config contradicts itself, or names an attention function that there is not */
  constructor(
    w: Weights,
    config: Qwen3Config,
    { attentionFunctions: functions = attentionFunctions }: Qwen3Options = {},
  ) {
    const { vocabSize, hiddenSize, rmsNormEps, headDim } = checkConfig(config);
    this.#backend = w.backend;
    this.config = config;
    this.embedTokens = new Embedding(w.at("embedTokens"), { vocabSize, hiddenSize });
    const rope = new Rope(w.backend, headDim, config.rope);
    const attention = functionOf(config, functions);
    this.layers = Array.from({ length: config.numHiddenLayers }, (_, i) =>
      block(w.at("layers").at(i), config, i, { rope, attention }),
    );
    this.norm = new RmsNorm(w.at("norm"), { size: hiddenSize, rmsNormEps });
    this.lmHead = config.tieWordEmbeddings
      ? undefined
      : new Linear(w.at("lmHead"), { inFeatures: hiddenSize, outFeatures: vocabSize });
  }

  get backend(): Backend {
    return this.#backend;
  }

  /**
   * @returns logits f32 [B, T, V], or [B, 1, V] for `logits: "last"`; rows of padding are not defined
   * @throws IndexError if an id is outside the vocabulary, ShapeError if rows differ in length, CapacityError if the cache is full
   */
  forward(ids: TokenIds, { positions, cache, routings, logits = "all" }: ForwardOptions = {}): Tensor {
    const result = scope(() => {
      const tokens = ids instanceof Tensor ? ids : this.#upload(ids);
      expectDType("Qwen3", "ids", tokens, "i32");
      expectRank("Qwen3", "ids", tokens, 2, "[B, T]");
      const [batch, count] = tokens.shape;
      const where = positions ?? sequencePositions(batch, count, { start: cache?.lengths });
      if (where.shape[0] !== batch || where.shape[1] !== count) {
        throw new ShapeError(`Qwen3: positions must be for [${batch},${count}] tokens, got [${where.shape.join(",")}]`);
      }
      const held = cache?.lengths ?? [];
      const step = cache ? cache.begin(where) : stepWithoutCache(this.#backend, where);
      const found = new Map<number, Routing>();
      try {
        const context = { step, cache, rowMask: this.#rowMask(where), routings: routings && found };
        const last = logits === "last" ? this.#lastRows(where) : undefined;
        return { logits: this.runStep(tokens, context, last), found };
      } catch (error) {
        // The tokens of a pass that failed have slots, but no keys in them.
        held.forEach((length, row) => cache?.truncateTo(length, row));
        throw error;
      }
    });
    for (const [layer, routing] of result.found) routings?.set(layer, routing);
    return result.logits;
  }

  /**
   * An empty cache for this model, for texts of `maxPositionEmbeddings` unless `maxLength` is given. Where all layers have windows, it lists
   * only what the widest shows; a ring holds no more.
   * @throws ConfigError for a ring where a layer sees everything, and as the caches do
   */
  makeCache<K extends CacheKind = "dense">(options: MakeCacheOptions<K> = {}): CacheKinds[K] {
    return cacheFor(this.#backend, this.config, options);
  }

  /**
   * The part of `forward` that runs on the backend alone, and so inside `record`: of a step that a cache's `begin` prepared. Call it inside
   * a scope.
   * @param ids i32 [B, T] @param rows i32 [B, N], counted over all B T tokens: only these get logits
   * @returns logits f32 [B, T, V], or [B, N, V]
   */
  runStep(ids: Tensor, context: DecoderBlockContext, rows?: Tensor): Tensor {
    const x = this.embedTokens.forward(ids); // [B, T, D]
    const norms = [...this.layers.map(({ inputLayernorm }) => inputLayernorm), this.norm];
    let stream = { x, normed: norms[0].forward(x) };
    this.layers.forEach((each, layer) => {
      const before = stream;
      stream = each.forwardNormed(before, norms[layer + 1], { ...context, layer });
      before.x.dispose();
      before.normed.dispose();
    });
    const { normed } = stream;
    const last = rows ? gatherRows(reshape(normed, [ids.size, normed.shape[2]]), rows) : normed;
    return this.lmHead ? this.lmHead.forward(last) : this.embedTokens.logits(last);
  }

  #upload(rows: readonly ArrayLike<number>[]): Tensor {
    return tensor(this.#backend, flatIds(rows, this.config.vocabSize), [rows.length, rows[0]?.length ?? 0]);
  }

  /** u32 [B, T], or nothing where no token is padding. */
  #rowMask(where: Positions): Tensor | undefined {
    if (!isPadded(where)) return undefined;
    const mask = Uint32Array.from(where.position, (p) => (p >= 0 ? 1 : 0));
    return tensor(this.#backend, mask, where.shape);
  }

  /** Each row's last token, i32 [B, 1]. */
  #lastRows({ shape: [batch, tokens], position }: Positions): Tensor {
    const rows = Int32Array.from({ length: batch }, (_, b) => {
      for (let t = tokens - 1; t >= 0; t--) if (position[b * tokens + t] >= 0) return b * tokens + t;
      return -1;
    });
    return tensor(this.#backend, rows, [batch, 1]);
  }
}

function functionOf(
  { attnImplementation = "auto" }: Qwen3Config,
  functions: Readonly<Record<string, AttentionFunction>>,
): AttentionFunction {
  if (Object.hasOwn(functions, attnImplementation)) return functions[attnImplementation];
  throw new ConfigError(
    `config.attnImplementation: must be one of ${Object.keys(functions).join(", ")}, got ${JSON.stringify(attnImplementation)}; give the model your own by that name: attentionFunctions: { ...attentionFunctions, yours }`,
  );
}

function block(
  w: Weights,
  config: Qwen3Config,
  layer: number,
  shared: { readonly rope: Rope; readonly attention: AttentionFunction },
): DecoderBlock {
  const { hiddenSize, rmsNormEps, numAttentionHeads, numKeyValueHeads, headDim, attentionBias } = config;
  const selfAttn = new Attention(w.at("selfAttn"), {
    hiddenSize,
    numAttentionHeads,
    numKeyValueHeads,
    headDim,
    qkNorm: true,
    rmsNormEps,
    ...shared,
    attentionBias,
    slidingWindow: windowOf(config, layer),
  });
  return new DecoderBlock(w, { hiddenSize, rmsNormEps, selfAttn, mlp: feedForward(w.at("mlp"), config, layer) });
}

function feedForward(w: Weights, config: Qwen3Config, layer: number): FeedForward {
  if (!isSparseLayer(config, layer)) return new SwigluMlp(w, config);
  const { hiddenSize, moeIntermediateSize, numExperts } = config;
  return new MoELayer(w, { hiddenSize, moeIntermediateSize, numExperts, router: new TopKRouter(config) });
}
