// What wrong calls of the other fused ops say.
import { expect, test } from "vitest";
import type { DType } from "../../src/core/dtype.js";
import { adamW } from "../../src/ops/adam-w.js";
import { addRmsNorm } from "../../src/ops/add-rms-norm.js";
import { crossEntropyGrad } from "../../src/ops/cross-entropy-grad.js";
import { crossEntropy } from "../../src/ops/cross-entropy.js";
import { zeros } from "../../src/ops/fill.js";
import { linearGrad } from "../../src/ops/linear-grad.js";
import { linear } from "../../src/ops/linear.js";
import { quantize } from "../../src/ops/quantize.js";
import { repack } from "../../src/ops/repack.js";
import { rope } from "../../src/ops/rope.js";
import { softmax } from "../../src/ops/softmax.js";
import { swigluGrad } from "../../src/ops/swiglu-grad.js";
import { swiglu } from "../../src/ops/swiglu.js";
import { q8_0 } from "../../src/quant/schemes/q8.js";
import type { PackedTensor } from "../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { backend, f, i, messageOf, refuses } from "./wrong-calls.js";

const adam = { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay: 0 };

refuses({
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
});

test("every operand that must be plain says so", () => {
  const packed = (): Tensor => quantize(f(2, 32), q8_0) as unknown as Tensor;
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
