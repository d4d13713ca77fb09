// The residual sum and its RMSNorm in one pass.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add } from "./binary.js";
import { expectDType, expectLastAxis, expectShape } from "./expect.js";
import { rmsNormGrad } from "./rms-norm-grad.js";
import { rmsNorm } from "./rms-norm.js";

const def: OpDef<"addRmsNorm"> = {
  name: "addRmsNorm",
  infer([x, residual, weight]) {
    expectLastAxis("addRmsNorm", "weight", weight, x);
    expectDType("addRmsNorm", "residual", residual);
    expectShape("addRmsNorm", "residual", residual, x.shape, "that of x", x);
    return [{ shape: x.shape }, { shape: x.shape }];
  },
  composite([x, residual, weight], { eps }) {
    const sum = add(x, residual);
    return [sum, rmsNorm(sum, weight, eps)];
  },
  vjp([, , weight], [sum], [dSum, dy], { eps }, [wantsX, wantsResidual, wantsWeight]) {
    const wantsSum = wantsX || wantsResidual;
    const [throughNorm, dWeight] = dy ? rmsNormGrad(sum, weight, dy, eps, [wantsSum, wantsWeight]) : [];
    const dx = throughNorm && dSum ? add(throughNorm, dSum) : (throughNorm ?? dSum);
    return [wantsX ? dx : undefined, wantsResidual ? dx : undefined, dWeight];
  },
};

/**
 * sum = x + residual, y = rmsNorm(sum).
 * @param x f32 [..., D] @param residual f32 [..., D] @param weight f32 [D] @returns sum and y, f32 [..., D]
 * @throws ShapeError, DTypeError
 */
export function addRmsNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  eps: number,
): { readonly sum: Tensor; readonly y: Tensor } {
  const [sum, y] = dispatch(def, [x, residual, weight], { eps });
  return { sum, y };
}
