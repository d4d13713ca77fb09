// The ways to compute attention, by name: one fused op, all scores at once, or whichever of the two suits shape and backend.
import type { AttentionAttrs, Kernels } from "../backends/backend.js";
import { attendByScores, expectAttention } from "../ops/attention-scores.js";
import { attention } from "../ops/attention.js";
import { choose } from "../tensor/ambient.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";

/**
 * Attention itself; shapes and rules as in {@link attention}. One of your own may take its place: made of ops, it runs on every backend and
 * has a gradient.
 */
export type AttentionFunction = (
  q: Tensor,
  k: Tensor | PackedTensor,
  v: Tensor | PackedTensor,
  queries: Tensor,
  keys: Tensor,
  attrs: AttentionAttrs,
) => Tensor;

/** The definition: scores, mask, softmax and product as ops of their own, with [B, T, H, S] numbers between them. */
const eager: AttentionFunction = (q, k, v, queries, keys, attrs) => {
  expectAttention("attention", [q, k, v, queries, keys], attrs);
  return attendByScores([q, k, v, queries, keys], attrs);
};

/** Up to so many scores (4 MB) a backend may keep them for the gradient, some ten times. */
const FEW_SCORES = 2 ** 20;

/**
 * Without a kernel the op is composed of what `eager` does, and its gradient composes all of it again: then keeping the weights is faster,
 * where they are few.
 */
const auto: AttentionFunction = (q, k, v, queries, keys, attrs) => {
  const kernels: Kernels = q.backend.kernels;
  const [batch, tokens, heads] = q.shape;
  const few = batch * tokens * heads * keys.shape[1] <= FEW_SCORES;
  const pick = kernels.attention || !few ? "flash" : "eager";
  choose(`attention: auto picks ${pick}`);
  return attentionFunctions[pick](q, k, v, queries, keys, attrs);
};

/**
 * Attention functions by name. `flash`: the op {@link attention}, whose memory does not grow with T S where a backend has a kernel. `eager`: the
 * definition, composed of small ops; its gradient keeps the weights. `auto`: `flash`, but `eager` on a backend without a kernel for it if there
 * are at most 2^20 scores; {@link trace} says which.
 */
export const attentionFunctions: Readonly<Record<"auto" | "flash" | "eager", AttentionFunction>> = Object.freeze({
  auto,
  flash: attention,
  eager,
});
