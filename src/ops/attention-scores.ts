// What attention and its gradient share: the checks, who sees whom, and the weights of what is seen.
import type { AttentionAttrs } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { showShape, type Shape } from "../core/shape.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, and, div, equal, less, mul, or, sub, xor } from "./binary.js";
import { expectDType, expectInteger, expectMatrix, expectRank, expectShape } from "./expect.js";
import { arange, fill } from "./fill.js";
import { gatherRows } from "./gather-rows.js";
import { matmul } from "./matmul.js";
import { permute } from "./permute.js";
import { max, sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";
import { slice } from "./slice.js";
import { stopGradient } from "./stop-gradient.js";
import { exp, tanh } from "./unary.js";

type Pool = Tensor | PackedTensor;
const LEAST = -3.4028234663852886e38; // of f32

export function expectAttention(
  op: string,
  [q, k, v, queries, keys]: readonly [q: Tensor, k: Pool, v: Pool, queries: Tensor, keys: Tensor],
  { scale, window, sinks, softcap }: AttentionAttrs,
): void {
  expectDType(op, "q", q);
  expectRank(op, "q", q, 4, "[B, T, H, d]");
  const [B, T, H, d] = q.shape;
  expectMatrix(op, "k", k);
  expectMatrix(op, "v", v);
  expectRank(op, "k", k, 3, "[N, Hkv, d]");
  const [N, Hkv] = k.shape;
  expectShape(op, "k", k, [N, Hkv, d], "the head size of q", q);
  expectShape(op, "v", v, k.shape, "that of k", k);
  if (Hkv === 0 || H % Hkv !== 0) {
    throw new ShapeError(
      `${op}: the heads of q must be a multiple of those of k, got ${showShape(q.shape)} and ${showShape(k.shape)}`,
    );
  }
  expectDType(op, "queries", queries, "i32");
  expectShape(op, "queries", queries, [B, T, 4], "the tokens of q", q);
  expectDType(op, "keys", keys, "i32");
  expectRank(op, "keys", keys, 3, "[B, S, 3]");
  expectShape(op, "keys", keys, [B, keys.shape[1], 3], "the batch of q", q);
  expectInteger(op, "window", window, 0);
  expectInteger(op, "sinks", sinks, 0);
  if (!Number.isFinite(scale)) throw new ConfigError(`${op}: scale must be finite, got ${scale}`);
  if (!Number.isFinite(softcap) || softcap < 0) {
    throw new ConfigError(`${op}: softcap must be finite and at least 0, got ${softcap}`);
  }
}

/** 1 where the query sees the key, u32 [B, T, S]. */
export function visibility(queries: Tensor, keys: Tensor, { causal, window, sinks }: AttentionAttrs): Tensor {
  const [B, T] = queries.shape;
  const S = keys.shape[1];
  const ofQueries = (field: number): Tensor => slice(queries, [0, 0, field], [B, T, 1]); // [B, T, 1]
  const ofKeys = (field: number): Tensor => reshape(slice(keys, [0, 0, field], [B, S, 1]), [B, 1, S]);
  const [qPosition, qSegment, from, to] = [0, 1, 2, 3].map(ofQueries);
  const [kPosition, kSegment] = [0, 1].map(ofKeys);
  const row = reshape(arange(keys.backend, S), [1, 1, S]);

  const real = and(atLeast(qPosition, 0), atLeast(kPosition, 0));
  const inRange = and(atLeast(row, from), less(row, to));
  let seen = and(and(real, inRange), equal(plainSegment(qSegment), plainSegment(kSegment)));
  if (causal) seen = and(seen, atLeast(qPosition, kPosition));
  if (window === 0) return seen;
  const near = causal
    ? less(sub(qPosition, kPosition), window)
    : and(less(sub(qPosition, kPosition), window + 1), less(sub(kPosition, qPosition), window + 1));
  const global = or(less(qSegment, 0), less(kSegment, 0));
  return and(seen, or(or(near, less(kPosition, sinks)), global));
}

const atLeast = (a: Tensor, b: Tensor | number): Tensor => xor(less(a, b), 1);

/** A global token carries ~segment. */
function plainSegment(segment: Tensor): Tensor {
  return select(less(segment, 0), xor(segment, -1), segment);
}

/** Where the keys lie in the pools, i32 [B, S]; -1 for a hidden one, whose slot may hold anything. */
export function slotsOf(keys: Tensor): Tensor {
  const [B, S] = keys.shape;
  const field = (at: number): Tensor => reshape(slice(keys, [0, 0, at], [B, S, 1]), [B, S]);
  return select(less(field(0), 0), fill(keys.backend, [], -1, { dtype: "i32" }), field(2));
}

/** The rows of a pool that the keys name: [N, Hkv, d] -> [B Hkv, S, d]. */
export function rowsOfPool(pool: Pool, slots: Tensor): Tensor {
  const [B, S] = slots.shape;
  const [, Hkv, d] = pool.shape;
  return reshape(permute(gatherRows(pool, slots), [0, 2, 1, 3]), [B * Hkv, S, d]);
}

/** Query heads that read one kv head side by side: [B, T, H, d] -> [B Hkv, G T, d] with G = H / Hkv. */
export function grouped(x: Tensor, Hkv: number): Tensor {
  const [B, T, H, d] = x.shape;
  const G = H / Hkv;
  return reshape(permute(reshape(x, [B, T, Hkv, G, d]), [0, 2, 3, 1, 4]), [B * Hkv, G * T, d]);
}

/** Undoes {@link grouped}. */
export function ungrouped(x: Tensor, [B, T, H, d]: Shape, Hkv: number): Tensor {
  return reshape(permute(reshape(x, [B, Hkv, H / Hkv, T, d]), [0, 3, 1, 2, 4]), [B, T, H, d]);
}

export interface Weights {
  /** Softmax of the scores over the visible keys, 0 for the others and in rows without any. f32 [B Hkv, G T, S] */
  readonly p: Tensor;
  /** What the gradient of q·k is multiplied by besides `scale`, where scores are capped. */
  readonly slope: Tensor | undefined;
}

/**
 * Attention by its definition: all scores [B, T, H, S] at once, softmax over those that the mask lets through, product with the values. What it
 * makes on the way belongs to the caller's scope. Operands as those of the op, checked by {@link expectAttention}.
 */
export function attendByScores(
  [q, k, v, queries, keys]: readonly [q: Tensor, k: Pool, v: Pool, queries: Tensor, keys: Tensor],
  attrs: AttentionAttrs,
): Tensor {
  const Hkv = k.shape[1];
  const slots = slotsOf(keys);
  const { p } = weigh(q, rowsOfPool(k, slots), visibility(queries, keys, attrs), Hkv, attrs);
  return ungrouped(matmul(p, rowsOfPool(v, slots)), q.shape, Hkv);
}

/** @param q f32 [B, T, H, d] @param k f32 [B Hkv, S, d] @param visible u32 [B, T, S] */
export function weigh(q: Tensor, k: Tensor, visible: Tensor, Hkv: number, attrs: AttentionAttrs): Weights {
  const { scale, softcap } = attrs;
  const [B, T, S] = visible.shape;
  const { backend } = q;
  const scaled = mul(matmul(grouped(q, Hkv), k, { transposeB: true }), scale);
  const bend = softcap > 0 ? tanh(div(scaled, softcap)) : undefined;
  const scores = reshape(bend ? mul(bend, softcap) : scaled, [B, q.shape[2], T, S]);

  const mask = reshape(visible, [B, 1, T, S]);
  const masked = select(mask, scores, fill(backend, [], LEAST));
  const e = select(mask, exp(sub(masked, stopGradient(max(masked)))), fill(backend, [], 0));
  const total = sum(e);
  const p = div(e, select(equal(total, 0), fill(backend, [], 1), total));
  return { p: reshape(p, scaled.shape), slope: bend && add(mul(mul(bend, bend), -1), 1) };
}
