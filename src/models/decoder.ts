// What generation needs of a model, so that a decoder of your own is used like `Qwen3`, which is one.
import type { Attention } from "../attention/attention.js";
import type { KVCache } from "../attention/cache/kv-cache.js";
import type { Step } from "../attention/positions.js";
import type { Backend } from "../backends/backend.js";
import type { Tensor } from "../tensor/tensor.js";

/** Any causal model over token ids; with `forward` that also fills `routings` it can be trained by `Trainer` as well. */
export interface Decoder {
  readonly backend: Backend;
  readonly config: { readonly vocabSize: number };
  /** Their RoPE tables are made before a step is recorded, since a recording takes nothing from the host. */
  readonly layers: readonly { readonly selfAttn: Pick<Attention, "rope"> }[];
  /**
   * Reads rows of ids behind what the cache holds, once `cache.begin` gave them slots.
   * @returns logits after each row's last token, f32 [B, 1, V]
   */
  forward(ids: readonly ArrayLike<number>[], options: { readonly cache: KVCache; readonly logits: "last" }): Tensor;
  /**
   * The part that runs on the backend alone, and so inside `record`.
   * @param ids i32 [B, T] @param context what `cache.begin` prepared @returns logits f32 [B, T, V]
   */
  runStep(ids: Tensor, context: { readonly step: Step; readonly cache: KVCache }): Tensor;
  /** An empty cache of batch 1; `generate` makes one where it is given none. */
  makeCache(options: { readonly maxLength: number }): KVCache;
}
