// Attention over slot pools, with two integer tables that say who sees whom.
import type { AttentionAttrs } from "../backends/backend.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { attentionGrad } from "./attention-grad.js";
import { attendByScores, expectAttention } from "./attention-scores.js";
import { dequantize } from "./dequantize.js";

const def: OpDef<"attention"> = {
  name: "attention",
  infer(inputs, attrs) {
    expectAttention("attention", inputs, attrs);
    return [{ shape: inputs[0].shape }];
  },
  composite: (inputs, attrs) => [attendByScores(inputs, attrs)],
  vjp([q, k, v, queries, keys], [y], [dy], attrs, [wantsQ, wantsK, wantsV]) {
    const wants = [wantsQ, wantsK, wantsV] as const;
    const [dq, dk, dv] = dy ? attentionGrad(q, k, v, queries, keys, y, dy, attrs, wants) : [];
    return [dq, dk, dv, undefined, undefined];
  },
  decode: dequantize,
};

/**
 * y = softmax(scores) v over the keys that a query sees, score = q·k scale, then softcap tanh(score / softcap) if softcap is not 0; 0 where
 * a query sees no key. Query head h reads kv head floor(h Hkv / H) (Vaswani et al. 2017, Ainslie et al. 2023).
 *
 * Key s is visible to query t iff both positions are >= 0, their segments agree, the key's position is not above the query's when `causal`,
 * and one of: `window` is 0; the distance is inside it (qp - kp < window when causal, |qp - kp| <= window when not); the key's position is
 * below `sinks`; key or query is global. A global token carries ~segment in place of its segment. Outside its range of rows a query sees
 * nothing: the caller promises so, that the cost may follow the visible keys.
 * @param q f32 [B, T, H, d] @param k f32 or packed [N, Hkv, d] @param v f32 or packed [N, Hkv, d]
 * @param queries i32 [B, T, 4]: position (-1: no query, y = 0), segment, first row of keys, row after the last
 * @param keys i32 [B, S, 3]: position (-1: hidden), segment, slot @returns f32 [B, T, H, d]
 * @throws ShapeError, DTypeError, ConfigError
 */
export const attention = (
  q: Tensor,
  k: Tensor | PackedTensor,
  v: Tensor | PackedTensor,
  queries: Tensor,
  keys: Tensor,
  attrs: AttentionAttrs,
): Tensor => dispatch(def, [q, k, v, queries, keys], attrs)[0];
