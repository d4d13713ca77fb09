// Gradient of a product with a weight.
import { ShapeError } from "../core/errors.js";
import { rowsOf, withLastAxis } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { dequantize } from "./dequantize.js";
import { expectDType, expectMatrix, expectRank, expectShape } from "./expect.js";
import { matmul } from "./matmul.js";
import { sumTo } from "./reduce.js";
import { reshape } from "./reshape.js";

const def: OpDef<"linearGrad"> = {
  name: "linearGrad",
  infer([x, weight, dy]) {
    expectDType("linearGrad", "x", x);
    expectMatrix("linearGrad", "weight", weight);
    expectDType("linearGrad", "dy", dy);
    expectRank("linearGrad", "weight", weight, 2, "[out, in]");
    if (x.shape.length === 0) throw new ShapeError("linearGrad: x must have at least one axis, got []");
    const out = weight.shape[0];
    expectShape("linearGrad", "weight", weight, [out, rowsOf(x.shape).width], "the last axis of x", x);
    expectShape("linearGrad", "dy", dy, withLastAxis(x.shape, out), "that of the product");
    return [{ shape: x.shape }, { shape: weight.shape }, { shape: [out] }];
  },
  composite([x, weight, dy], _, [wantsX, wantsWeight, wantsBias]) {
    const { rows, width } = rowsOf(x.shape);
    const out = weight.shape[0];
    const of = reshape(dy, [rows, out]);
    return [
      wantsX ? reshape(matmul(of, decoded(weight)), x.shape) : undefined,
      wantsWeight ? matmul(of, reshape(x, [rows, width]), { transposeA: true }) : undefined,
      wantsBias ? sumTo(of, [out]) : undefined,
    ];
  },
  decode: dequantize,
};

/**
 * dx = dy W, dWeight = dy^T x, dBias = sum of the rows of dy.
 * @param x f32 [..., in] @param weight f32 or packed [out, in] @param dy f32 [..., out] @throws ShapeError, DTypeError
 */
export const linearGrad = (
  x: Tensor,
  weight: Tensor | PackedTensor,
  dy: Tensor,
  wants: readonly [x: boolean, weight: boolean, bias: boolean],
): readonly [dx: Tensor | undefined, dWeight: Tensor | undefined, dBias: Tensor | undefined] =>
  dispatch(def, [x, weight, dy], {}, { wants });

/** What composites compute with. */
export const decoded = (x: Tensor | PackedTensor): Tensor => (x instanceof PackedTensor ? dequantize(x) : x);
