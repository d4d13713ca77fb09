// What wrong calls of the ops of attention say.
import type { AttentionAttrs, Backend } from "../../src/backends/backend.js";
import type { Shape } from "../../src/core/shape.js";
import { appendKV } from "../../src/ops/append-kv.js";
import { attentionGrad } from "../../src/ops/attention-grad.js";
import { attention } from "../../src/ops/attention.js";
import { zeros } from "../../src/ops/fill.js";
import { qkNormRope } from "../../src/ops/qk-norm-rope.js";
import { rope } from "../../src/ops/rope.js";
import { partSpecs, type Scheme } from "../../src/quant/schemes/scheme.js";
import { q8_0 } from "../../src/quant/schemes/q8.js";
import { schemes } from "../../src/quant/schemes/schemes.js";
import { PackedTensor } from "../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { backend, f, i, refuses } from "./wrong-calls.js";

const heads = { numHeads: 2, numKvHeads: 1, eps: 1e-6 };
const look: AttentionAttrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };
const see = (attrs: Partial<AttentionAttrs>): Tensor =>
  attention(f(1, 3, 4, 2), f(5, 2, 2), f(5, 2, 2), i(1, 3, 4), i(1, 6, 3), { ...look, ...attrs });

const perTensor: Scheme = {
  ...q8_0,
  name: "whole",
  parts: [q8_0.parts[0], { role: "scale", per: "tensor", bits: 32, as: "f32" }],
};
function packed(on: Backend, scheme: Scheme, shape: Shape): PackedTensor {
  const parts = partSpecs(scheme, shape).map((part) => zeros(on, part.shape, part.dtype));
  return new PackedTensor(scheme, shape, "plain", parts);
}

refuses({
  "rope, x": [() => rope(f(2, 4), f(3, 4), i(2)), "rope: x must have shape [B, T, H, d], got [2,4]"],
  "rope, table": [
    () => rope(f(1, 2, 1, 4), f(3, 6), i(1, 2)),
    "rope: table must have r/2 cosines and r/2 sines a row, r even and at most the head's 4, got [3,6]",
  ],
  "rope, rows": [
    () => rope(f(1, 2, 1, 4), f(3, 4), i(2)),
    "rope: rows must have shape [1,2], one row of the table per token, got [2]",
  ],
  "rope, layout": [
    () => rope(f(1, 2, 1, 4), f(3, 4), i(1, 2), { layout: "neox" as "half" }),
    'rope: layout must be "half" or "interleaved", got "neox"',
  ],
  "qkNormRope, qkv": [
    () => qkNormRope(f(1, 2, 10), undefined, undefined, f(3, 2), i(1, 2), heads),
    "qkNormRope: the last axis of qkv must be a multiple of H + 2 Hkv = 4, got [1,2,10]",
  ],
  "qkNormRope, kWeight": [
    () => qkNormRope(f(1, 2, 16), f(4), f(8), f(3, 2), i(1, 2), heads),
    "qkNormRope: kWeight must have shape [4], the size of a head of qkv [1,2,16], got [8]",
  ],
  "qkNormRope, numHeads": [
    () => qkNormRope(f(1, 2, 16), undefined, undefined, f(3, 2), i(1, 2), { ...heads, numHeads: 0 }),
    "qkNormRope: numHeads must be an integer of at least 1, got 0",
  ],
  "appendKV, v": [
    () => appendKV(f(1, 2, 1, 4), f(1, 2, 1, 3), i(1, 2), f(5, 1, 4), f(5, 1, 4)),
    "appendKV: v must have shape [1,2,1,4], that of k [1,2,1,4], got [1,2,1,3]",
  ],
  "appendKV, slots": [
    () => appendKV(f(1, 2, 1, 4), f(1, 2, 1, 4), i(2), f(5, 1, 4), f(5, 1, 4)),
    "appendKV: slots must have shape [1,2], one slot per token of k [1,2,1,4], got [2]",
  ],
  "appendKV, pool": [
    () => appendKV(f(1, 2, 1, 4), f(1, 2, 1, 4), i(1, 2), f(5, 1, 4), f(5, 2, 4)),
    "appendKV: vPool must have shape [5,1,4], the heads of k [1,2,1,4], got [5,2,4]",
  ],
  "appendKV, scheme": [
    () => {
      const knowing = { ...backend, features: { ...backend.features, schemes: { q8_0: "plain", whole: "plain" } } };
      const [k, v] = [zeros(knowing, [1, 2, 1, 4]), zeros(knowing, [1, 2, 1, 4])];
      const pool = packed(knowing, perTensor, [5, 1, 4]);
      appendKV(k, v, zeros(knowing, [1, 2], "i32"), pool, f(5, 1, 4));
    },
    "appendKV: kPool must store each token by itself, in the plain layout and with no part per tile or tensor, got whole[5,1,4] in layout plain",
  ],
  "appendKV, unlisted scheme": [
    () =>
      appendKV(f(1, 2, 1, 4), f(1, 2, 1, 4), i(1, 2), packed(backend, { ...q8_0, name: "own" }, [5, 1, 4]), f(5, 1, 4)),
    `appendKV: backend "cpu" must encode scheme own, got ${Object.keys(schemes).join(", ")}; encode on the host`,
  ],
  "appendKV, one pool for both": [
    () => {
      const pool = f(5, 1, 4);
      appendKV(f(1, 2, 1, 4), f(1, 2, 1, 4), i(1, 2), pool, pool);
    },
    "appendKV: the target f32[5,1,4] must share no memory with another target; copy one of them first",
  ],
  "attention, q": [
    () => attention(f(3, 2), f(5, 1, 2), f(5, 1, 2), i(1, 3, 4), i(1, 6, 3), look),
    "attention: q must have shape [B, T, H, d], got [3,2]",
  ],
  "attention, head size": [
    () => attention(f(1, 3, 2, 4), f(5, 1, 2), f(5, 1, 2), i(1, 3, 4), i(1, 6, 3), look),
    "attention: k must have shape [5,1,4], the head size of q [1,3,2,4], got [5,1,2]",
  ],
  "attention, v": [
    () => attention(f(1, 3, 2, 4), f(5, 1, 4), f(6, 1, 4), i(1, 3, 4), i(1, 6, 3), look),
    "attention: v must have shape [5,1,4], that of k [5,1,4], got [6,1,4]",
  ],
  "attention, heads": [
    () => attention(f(1, 3, 3, 4), f(5, 2, 4), f(5, 2, 4), i(1, 3, 4), i(1, 6, 3), look),
    "attention: the heads of q must be a multiple of those of k, got [1,3,3,4] and [5,2,4]",
  ],
  "attention, queries": [
    () => attention(f(1, 3, 2, 4), f(5, 1, 4), f(5, 1, 4), i(1, 3, 3), i(1, 6, 3), look),
    "attention: queries must have shape [1,3,4], the tokens of q [1,3,2,4], got [1,3,3]",
  ],
  "attention, keys": [
    () => attention(f(1, 3, 2, 4), f(5, 1, 4), f(5, 1, 4), i(1, 3, 4), i(2, 6, 3), look),
    "attention: keys must have shape [1,6,3], the batch of q [1,3,2,4], got [2,6,3]",
  ],
  "attention, table of floats": [
    () => attention(f(1, 3, 2, 4), f(5, 1, 4), f(5, 1, 4), f(1, 3, 4), i(1, 6, 3), look),
    "attention: queries must hold i32, got f32[1,3,4]; cast() it first",
  ],
  "attention, window": [() => see({ window: -1 }), "attention: window must be an integer of at least 0, got -1"],
  "attention, sinks": [() => see({ sinks: 0.5 }), "attention: sinks must be an integer of at least 0, got 0.5"],
  "attention, scale": [() => see({ scale: NaN }), "attention: scale must be finite, got NaN"],
  "attention, softcap": [() => see({ softcap: -1 }), "attention: softcap must be finite and at least 0, got -1"],
  attentionGrad: [
    () => {
      const [q, k, v] = [f(1, 3, 2, 4), f(5, 1, 4), f(5, 1, 4)];
      attentionGrad(q, k, v, i(1, 3, 4), i(1, 6, 3), f(1, 3, 2, 4), f(1, 3, 8), look, [true, true, true]);
    },
    "attentionGrad: dy must have shape [1,3,2,4], that of q [1,3,2,4], got [1,3,8]",
  ],
});
