// RMSNorm over the last axis.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, mul } from "./binary.js";
import { expectLastAxis } from "./expect.js";
import { mean } from "./mean.js";
import { rmsNormGrad } from "./rms-norm-grad.js";
import { rsqrt } from "./unary.js";

const def: OpDef<"rmsNorm"> = {
  name: "rmsNorm",
  infer([x, weight]) {
    expectLastAxis("rmsNorm", "weight", weight, x);
    return [{ shape: x.shape }];
  },
  composite: ([x, weight], { eps }) => [mul(mul(x, rsqrt(add(mean(mul(x, x)), eps))), weight)],
  vjp: ([x, weight], _, [dy], { eps }, [wantsX, wantsWeight]) =>
    dy ? rmsNormGrad(x, weight, dy, eps, [wantsX, wantsWeight]) : [undefined, undefined],
};

/**
 * y = x / sqrt(mean(x^2) + eps) * weight, over the last axis (Zhang & Sennrich 2019).
 * @param x f32 [..., D] @param weight f32 [D] @returns f32 [..., D]
 * @throws ShapeError, DTypeError
 */
export const rmsNorm = (x: Tensor, weight: Tensor, eps: number): Tensor => dispatch(def, [x, weight], { eps })[0];
