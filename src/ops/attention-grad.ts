// Gradient of attention: the weights are computed again, not kept.
import type { AttentionAttrs } from "../backends/backend.js";
import type { Shape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectAttention, grouped, rowsOfPool, slotsOf, ungrouped, visibility, weigh } from "./attention-scores.js";
import { mul, sub } from "./binary.js";
import { dequantize } from "./dequantize.js";
import { expectDType, expectShape } from "./expect.js";
import { zeros } from "./fill.js";
import { matmul } from "./matmul.js";
import { permute } from "./permute.js";
import { sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { scatterRows } from "./scatter-rows.js";

/**
 * With weights p: dv = p^T dy, dp = dy v^T, dScore = p (dp - sum over d of dy y), times 1 - tanh^2 where capped; dq = scale dScore k,
 * dk = scale dScore^T q. The gradients of keys and values are summed into their slots.
 */
const def: OpDef<"attentionGrad"> = {
  name: "attentionGrad",
  infer([q, k, v, queries, keys, y, dy], attrs) {
    expectAttention("attentionGrad", [q, k, v, queries, keys], attrs);
    for (const [what, x] of [["y", y] as const, ["dy", dy] as const]) {
      expectDType("attentionGrad", what, x);
      expectShape("attentionGrad", what, x, q.shape, "that of q", q);
    }
    return [{ shape: q.shape }, { shape: k.shape }, { shape: v.shape }];
  },
  composite([q, k, v, queries, keys, y, dy], attrs, [wantsQ, wantsK, wantsV]) {
    const Hkv = k.shape[1];
    const slots = slotsOf(keys);
    const dyRows = grouped(dy, Hkv); // [B Hkv, G T, d]
    const kRows = rowsOfPool(k, slots); // [B Hkv, S, d]
    const { p, slope } = weigh(q, kRows, visibility(queries, keys, attrs), Hkv, attrs); // [B Hkv, G T, S]
    const dv = wantsV ? intoPool(matmul(p, dyRows, { transposeA: true }), slots, v.shape) : undefined;
    if (!wantsQ && !wantsK) return [undefined, undefined, dv];
    const dp = matmul(dyRows, rowsOfPool(v, slots), { transposeB: true });
    const dCapped = mul(p, sub(dp, sum(mul(dyRows, grouped(y, Hkv)))));
    const dScore = mul(slope ? mul(dCapped, slope) : dCapped, attrs.scale);
    return [
      wantsQ ? ungrouped(matmul(dScore, kRows), q.shape, Hkv) : undefined,
      wantsK ? intoPool(matmul(dScore, grouped(q, Hkv), { transposeA: true }), slots, k.shape) : undefined,
      dv,
    ];
  },
  decode: dequantize,
};

/** Sums rows [B Hkv, S, d] into a pool of zeros by their slots. */
function intoPool(rows: Tensor, slots: Tensor, pool: Shape): Tensor {
  const [B, S] = slots.shape;
  const [, Hkv, d] = pool;
  const into = zeros(rows.backend, pool);
  scatterRows(permute(reshape(rows, [B, Hkv, S, d]), [0, 2, 1, 3]), slots, into, "add");
  return into;
}

/** The operands of {@link attention}, its result and that result's gradient. @throws ShapeError, DTypeError, ConfigError */
export const attentionGrad = (
  q: Tensor,
  k: Tensor | PackedTensor,
  v: Tensor | PackedTensor,
  queries: Tensor,
  keys: Tensor,
  y: Tensor,
  dy: Tensor,
  attrs: AttentionAttrs,
  wants: readonly [q: boolean, k: boolean, v: boolean],
): readonly [dq: Tensor | undefined, dk: Tensor | undefined, dv: Tensor | undefined] =>
  dispatch(def, [q, k, v, queries, keys, y, dy], attrs, { wants });
