// What wrong calls of the fused ops say: the op, the rule, what was found. All thrown before anything is enqueued.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AttentionAttrs, Backend, Kernels } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import type { Shape } from "../../src/core/shape.js";
import type { DType } from "../../src/core/dtype.js";
import { adamW } from "../../src/ops/adam-w.js";
import { addRmsNorm } from "../../src/ops/add-rms-norm.js";
import { appendKV } from "../../src/ops/append-kv.js";
import { attentionGrad } from "../../src/ops/attention-grad.js";
import { attention } from "../../src/ops/attention.js";
import { combineExperts } from "../../src/ops/combine-experts.js";
import { crossEntropyGrad } from "../../src/ops/cross-entropy-grad.js";
import { crossEntropy } from "../../src/ops/cross-entropy.js";
import { expertLinearGrad } from "../../src/ops/expert-linear-grad.js";
import { expertLinear } from "../../src/ops/expert-linear.js";
import { expertMlp } from "../../src/ops/expert-mlp.js";
import { zeros } from "../../src/ops/fill.js";
import { groupByExpert } from "../../src/ops/group-by-expert.js";
import { linearGrad } from "../../src/ops/linear-grad.js";
import { linear } from "../../src/ops/linear.js";
import { qkNormRope } from "../../src/ops/qk-norm-rope.js";
import { quantize } from "../../src/ops/quantize.js";
import { repack } from "../../src/ops/repack.js";
import { rope } from "../../src/ops/rope.js";
import { route } from "../../src/ops/route.js";
import { softmax } from "../../src/ops/softmax.js";
import { swigluGrad } from "../../src/ops/swiglu-grad.js";
import { swiglu } from "../../src/ops/swiglu.js";
import { partSpecs, type Scheme } from "../../src/quant/schemes/scheme.js";
import { q8_0 } from "../../src/quant/schemes/q8.js";
import { PackedTensor } from "../../src/tensor/packed-tensor.js";
import { scope } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";

let backend: Backend;
beforeAll(async () => void (backend = await cpu()));
afterAll(() => backend[Symbol.asyncDispose]());

const f = (...shape: Shape): Tensor => zeros(backend, shape);
const i = (...shape: Shape): Tensor => zeros(backend, shape, "i32");
const heads = { numHeads: 2, numKvHeads: 1, eps: 1e-6 };
const look: AttentionAttrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };
const see = (attrs: Partial<AttentionAttrs>): Tensor =>
  attention(f(1, 3, 4, 2), f(5, 2, 2), f(5, 2, 2), i(1, 3, 4), i(1, 6, 3), { ...look, ...attrs });
const top = { k: 2, score: "softmax", normalize: true } as const;
const adam = { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay: 0 };

const perTensor: Scheme = {
  ...q8_0,
  name: "whole",
  parts: [q8_0.parts[0], { role: "scale", per: "tensor", bits: 32, as: "f32" }],
};
function packedAs(scheme: Scheme, shape: Shape, layout = "plain"): PackedTensor {
  const parts = partSpecs(scheme, shape).map((part) => zeros(backend, part.shape, part.dtype));
  return new PackedTensor(scheme, shape, layout, parts);
}
function knowing(schemes: readonly string[], change: Partial<Kernels> = {}): Backend {
  const features = { ...backend.features, schemes: Object.fromEntries(schemes.map((name) => [name, "plain"])) };
  return { ...backend, features, kernels: { ...backend.kernels, ...change } };
}

const wrong: Record<string, readonly [call: () => unknown, message: string]> = {
  "linear of a scalar": [() => linear(f(), f(3, 1)), "linear: x must have at least one axis, got []"],
  "linear, rank of weight": [() => linear(f(2), f(2)), "linear: weight must have shape [out, in], got [2]"],
  "linear, weight": [
    () => linear(f(2, 5), f(3, 4)),
    "linear: weight must have shape [3,5], the last axis of x [2,5], got [3,4]",
  ],
  "linear, bias": [
    () => linear(f(2, 4), f(3, 4), f(4)),
    "linear: bias must have shape [3], the rows of weight [3,4], got [4]",
  ],
  "linear, type": [() => linear(i(2, 4), f(3, 4)), "linear: x must hold f32, got i32[2,4]; cast() it first"],
  "linear, activations": [
    () => linear(f(2, 4), f(3, 4), undefined, { activations: "q4" as "q8" }),
    'linear: activations must be "f32" or "q8", got "q4"',
  ],
  linearGrad: [
    () => linearGrad(f(2, 4), f(3, 4), f(3, 2), [true, true, true]),
    "linearGrad: dy must have shape [2,3], that of the product, got [3,2]",
  ],
  "addRmsNorm, weight": [
    () => addRmsNorm(f(2, 3), f(2, 3), f(4), 1e-6),
    "addRmsNorm: weight must have shape [3], the last axis of x [2,3], got [4]",
  ],
  "addRmsNorm, residual": [
    () => addRmsNorm(f(2, 3), f(3), f(3), 1e-6),
    "addRmsNorm: residual must have shape [2,3], that of x [2,3], got [3]",
  ],
  softmax: [() => softmax(f()), "softmax: x must have at least one axis, got []"],
  swiglu: [() => swiglu(f(2, 3)), "swiglu: gateUp must have an even last axis, gate then up, got [2,3]"],
  swigluGrad: [
    () => swigluGrad(f(2, 4), f(2, 4)),
    "swigluGrad: dy must have shape [2,2], half of gateUp [2,4], got [2,4]",
  ],
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
      const narrow = knowing(["q8_0", "whole"]);
      const [k, v] = [zeros(narrow, [1, 2, 1, 4]), zeros(narrow, [1, 2, 1, 4])];
      const parts = partSpecs(perTensor, [5, 1, 4]).map((part) => zeros(narrow, part.shape, part.dtype));
      appendKV(k, v, zeros(narrow, [1, 2], "i32"), new PackedTensor(perTensor, [5, 1, 4], "plain", parts), f(5, 1, 4));
    },
    "appendKV: kPool must store each token by itself, in the plain layout and with no part per tile or tensor, got whole[5,1,4] in layout plain",
  ],
  "appendKV, unlisted scheme": [
    () => appendKV(f(1, 2, 1, 4), f(1, 2, 1, 4), i(1, 2), packedAs({ ...q8_0, name: "own" }, [5, 1, 4]), f(5, 1, 4)),
    'appendKV: backend "cpu" must list scheme own to encode it, got f16, bf16, q8_0, q4_0; encode on the host',
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
  "route, logits": [() => route(f(1, 2, 4), undefined, top), "route: logits must have shape [R, E], got [1,2,4]"],
  "route, k": [() => route(f(3, 4), undefined, { ...top, k: 5 }), "route: k must be an integer of 1 to 4, got 5"],
  "route, bias": [
    () => route(f(3, 4), f(3), top),
    "route: bias must have shape [4], one for each expert of logits [3,4], got [3]",
  ],
  "route, score": [
    () => route(f(3, 4), undefined, { ...top, score: "relu" as "softmax" }),
    'route: score must be softmax, sigmoid, uniform, got "relu"',
  ],
  "groupByExpert, type": [
    () => groupByExpert(f(3, 4), 2),
    "groupByExpert: experts must hold i32, got f32[3,4]; cast() it first",
  ],
  "groupByExpert, rank": [() => groupByExpert(i(3), 2), "groupByExpert: experts must have shape [G, n], got [3]"],
  "groupByExpert, numExperts": [
    () => groupByExpert(i(3, 4), 0),
    "groupByExpert: numExperts must be an integer of at least 1, got 0",
  ],
  "expertLinear, rank of x": [
    () => expertLinear(f(3), f(2, 4, 5), i(3, 2)),
    "expertLinear: x must have shape [R, in] or [R, k, in], got [3]",
  ],
  "expertLinear, x": [
    () => expertLinear(f(3, 1, 5), f(2, 4, 5), i(3, 2)),
    "expertLinear: x must have shape [3,2,5], the slots of experts and the last axis of weight [2,4,5], got [3,1,5]",
  ],
  "expertLinear, weight": [
    () => expertLinear(f(3, 5), f(4, 5), i(3, 2)),
    "expertLinear: weight must have shape [E, out, in], got [4,5]",
  ],
  expertLinearGrad: [
    () => expertLinearGrad(f(3, 5), f(2, 4, 5), i(3, 2), f(3, 4), [true, true]),
    "expertLinearGrad: dy must have shape [3,2,4], that of the product, got [3,4]",
  ],
  combineExperts: [
    () => combineExperts(f(3, 2, 5), f(3, 1)),
    "combineExperts: weights must have shape [3,2], one for each slot of x [3,2,5], got [3,1]",
  ],
  "expertMlp, gateUp": [
    () => expertMlp(f(3, 5), f(2, 4, 5), f(2, 5, 4), i(3, 2), f(3, 2)),
    "expertMlp: gateUp must have shape [2,8,5], the last axis of x, and down [2,5,4], got [2,4,5]",
  ],
  "expertMlp, down": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 4, 5), i(3, 2), f(3, 2)),
    "expertMlp: down must have shape [2,5,5], the last axis of x [3,5], got [2,4,5]",
  ],
  "expertMlp, experts": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 5, 4), i(4, 2), f(4, 2)),
    "expertMlp: experts must have shape [3,2], the rows of x [3,5], got [4,2]",
  ],
  "expertMlp, weights": [
    () => expertMlp(f(3, 5), f(2, 8, 5), f(2, 5, 4), i(3, 2), f(3, 1)),
    "expertMlp: weights must have shape [3,2], one for each slot of experts, got [3,1]",
  ],
  "crossEntropy, targets": [
    () => crossEntropy(f(3, 5), i(4)),
    "crossEntropy: targets must have shape [3], one for each row of logits [3,5], got [4]",
  ],
  "crossEntropy, type": [
    () => crossEntropy(f(3, 5), f(3)),
    "crossEntropy: targets must hold i32, got f32[3]; cast() it first",
  ],
  crossEntropyGrad: [
    () => crossEntropyGrad(f(3, 5), i(3), f(1)),
    "crossEntropyGrad: dLoss must have shape [3], one for each target, got [1]",
  ],
  "repack, plain": [
    () => repack(f(2, 32) as unknown as PackedTensor, "plain"),
    "repack: x must be packed, got f32[2,32]; quantize() it first",
  ],
  "repack, layout": [
    () => repack(quantize(f(2, 32), q8_0), "tiles"),
    'repack: backend "cpu" must know how q8_0[2,32] goes from layout "plain" to "tiles", got no kernel that does; keep "plain"',
  ],
  "adamW, hyper": [
    () => adamW(f(2), f(3), f(2), f(2), f(2), adam),
    "adamW: hyper must have shape [4], learning rate, two bias corrections and gradient scale, got [3]",
  ],
  "adamW, param": [
    () => adamW(f(2), f(4), f(3), f(2), f(2), adam),
    "adamW: param must have shape [2], that of grad [2], got [3]",
  ],
  "adamW, gradient as a state": [
    () => {
      const grad = f(2);
      adamW(grad, f(4), f(2), grad, f(2), adam);
    },
    "adamW: the target f32[2] must share no memory with an input; copy one of them first",
  ],
};

function messageOf(call: () => unknown): string {
  try {
    scope(() => void call());
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing thrown";
}

test.each(Object.entries(wrong))("%s", (_, [call, message]) => {
  const before = backend.memory.usage();
  expect(messageOf(call)).toBe(message);
  expect(backend.memory.usage()).toEqual(before);
});

test("every operand that must be plain says so", () => {
  const packed = (): Tensor => packedAs(q8_0, [2, 32]) as unknown as Tensor;
  const calls: Record<string, (x: Tensor) => unknown> = {
    softmax: (x) => softmax(x),
    linear: (x) => linear(x, f(3, 32)),
    rope: (x) => rope(x, f(3, 4), i(1, 2)),
  };
  for (const [name, call] of Object.entries(calls)) {
    expect(messageOf(() => call(packed()))).toBe(
      `${name}: x must be a plain tensor, got q8_0[2,32]; dequantize() it first`,
    );
  }
});

test("integer operands are checked by type", () => {
  const of = (dtype: DType): Tensor => zeros(backend, [1, 2], dtype);
  const message = messageOf(() => rope(f(1, 2, 1, 4), f(3, 4), of("u32")));
  expect(message).toBe("rope: rows must hold i32, got u32[1,2]; cast() it first");
});
