// Drawn calls of products, norms, activations, losses and the optimiser.
import fc from "fast-check";
import type { FusedOps } from "../../../src/backends/backend.js";
import type { Random } from "../../../src/core/random.js";
import { adamW } from "../../../src/ops/adam-w.js";
import { addRmsNorm } from "../../../src/ops/add-rms-norm.js";
import { crossEntropyGrad } from "../../../src/ops/cross-entropy-grad.js";
import { crossEntropy } from "../../../src/ops/cross-entropy.js";
import { dequantize } from "../../../src/ops/dequantize.js";
import { linearGrad } from "../../../src/ops/linear-grad.js";
import { linear } from "../../../src/ops/linear.js";
import { repack } from "../../../src/ops/repack.js";
import { rmsNormGrad } from "../../../src/ops/rms-norm-grad.js";
import { rmsNorm } from "../../../src/ops/rms-norm.js";
import { softmax } from "../../../src/ops/softmax.js";
import { swigluGrad } from "../../../src/ops/swiglu-grad.js";
import { swiglu } from "../../../src/ops/swiglu.js";
import {
  extent,
  rows,
  eps,
  activations,
  storedAs,
  lead,
  draw,
  normal,
  integers,
  plainOf,
  packed,
  type HostOperand,
  type OpCase,
} from "./draw.js";

type Names =
  | "linear"
  | "linearGrad"
  | "rmsNorm"
  | "rmsNormGrad"
  | "addRmsNorm"
  | "softmax"
  | "swiglu"
  | "swigluGrad"
  | "crossEntropy"
  | "crossEntropyGrad"
  | "repack"
  | "adamW";

export const denseCases: { readonly [K in Names & keyof FusedOps]: fc.Arbitrary<OpCase> } = {
  linear: draw({ lead, width: extent, out: extent, bias: fc.boolean(), activations, storedAs }, (drawn, random) => {
    const { lead, width, out, bias, activations, storedAs } = drawn;
    const inputs = [
      normal(random, [...lead, width]),
      packed(normal(random, [out, width]), storedAs),
      bias ? normal(random, [out]) : undefined,
    ];
    const params = activations === "q8" ? [] : plainOf(inputs, [0, 1, 2]);
    return { inputs, params, run: ([x, w, b]) => [linear(x, w, b, { activations })] };
  }),

  linearGrad: draw({ lead, width: extent, out: extent, storedAs }, ({ lead, width, out, storedAs }, random) => ({
    inputs: [
      normal(random, [...lead, width]),
      packed(normal(random, [out, width]), storedAs),
      normal(random, [...lead, out]),
    ],
    params: [],
    run: ([x, w, dy]) => linearGrad(x, w, dy, [true, true, true]),
  })),

  rmsNorm: draw({ lead, D: extent, eps }, ({ lead, D, eps }, random) => ({
    inputs: [normal(random, [...lead, D]), normal(random, [D])],
    params: [0, 1],
    run: ([x, weight]) => [rmsNorm(x, weight, eps)],
  })),

  rmsNormGrad: draw({ lead, D: extent, eps }, ({ lead, D, eps }, random) => ({
    inputs: [normal(random, [...lead, D]), normal(random, [D]), normal(random, [...lead, D])],
    params: [],
    run: ([x, weight, dy]) => rmsNormGrad(x, weight, dy, eps, [true, true]),
  })),

  addRmsNorm: draw({ lead, D: extent, eps }, ({ lead, D, eps }, random) => ({
    inputs: [normal(random, [...lead, D]), normal(random, [...lead, D]), normal(random, [D])],
    params: [0, 1, 2],
    run([x, residual, weight]) {
      const { sum, y } = addRmsNorm(x, residual, weight, eps);
      return [sum, y];
    },
  })),

  softmax: draw({ lead, n: extent }, ({ lead, n }, random) => ({
    inputs: [normal(random, [...lead, n], 3)],
    params: [0],
    run: ([x]) => [softmax(x)],
  })),

  swiglu: draw({ lead, I: extent }, ({ lead, I }, random) => ({
    inputs: [normal(random, [...lead, 2 * I], 2)],
    params: [0],
    run: ([x]) => [swiglu(x)],
  })),

  swigluGrad: draw({ lead, I: extent }, ({ lead, I }, random) => ({
    inputs: [normal(random, [...lead, 2 * I], 2), normal(random, [...lead, I])],
    params: [],
    run: ([x, dy]) => [swigluGrad(x, dy)],
  })),

  crossEntropy: draw({ R: rows, V: extent }, ({ R, V }, random) => ({
    inputs: [normal(random, [R, V], 3), targets(random, R, V)],
    params: [0],
    run: ([logits, targets]) => [crossEntropy(logits, targets)],
  })),

  crossEntropyGrad: draw({ R: rows, V: extent }, ({ R, V }, random) => ({
    inputs: [normal(random, [R, V], 3), targets(random, R, V), normal(random, [R])],
    params: [],
    run: ([logits, targets, dLoss]) => [crossEntropyGrad(logits, targets, dLoss)],
  })),

  repack: draw({ lead, n: extent, scheme: fc.constantFrom("q8_0", "f16") }, ({ lead, n, scheme }, random) => ({
    inputs: [packed(normal(random, [...lead, n]), scheme)],
    params: [],
    run: ([x]) => [dequantize(repack(x, "plain"))],
  })),

  adamW: draw({ lead, eps, decay: fc.constantFrom(0, 0.1) }, ({ lead, eps, decay }, random) => ({
    inputs: [
      normal(random, lead),
      { shape: [4], data: Float32Array.of(0.1, 0.19, 0.0199, 0.5) },
      normal(random, lead),
      normal(random, lead),
      { shape: lead, data: normal(random, lead).data.map(Math.abs) as Float32Array },
    ],
    params: [],
    run([grad, hyper, param, mean, variance]) {
      adamW(grad, hyper, param, mean, variance, { beta1: 0.9, beta2: 0.99, eps, decay });
      return [param, mean, variance];
    },
  })),
};

/** Indices, and rows that do not count. */
function targets(random: Random, R: number, V: number): HostOperand {
  const drawn = integers(random, [R], -1, V);
  return { shape: [R], data: (drawn.data as Int32Array).map((target) => (target < 0 ? -100 : target)) };
}
