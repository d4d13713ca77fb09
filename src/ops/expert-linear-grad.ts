// Gradient of the products of experts.
import { ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, div, equal } from "./binary.js";
import { dequantize } from "./dequantize.js";
import { expectDType, expectMatrix, expectRank, expectShape } from "./expect.js";
import { arange, fill, zeros } from "./fill.js";
import { gatherRows } from "./gather-rows.js";
import { decoded, linearGrad } from "./linear-grad.js";
import { sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";
import { slice } from "./slice.js";
import { writeSlice } from "./write-slice.js";

const def: OpDef<"expertLinearGrad"> = {
  name: "expertLinearGrad",
  infer([x, weight, experts, dy]) {
    const shape = expectExperts("expertLinearGrad", x, weight, experts);
    expectDType("expertLinearGrad", "dy", dy);
    expectShape("expertLinearGrad", "dy", dy, shape, "that of the product");
    return [{ shape: x.shape }, { shape: weight.shape }];
  },
  // Each expert gets the rows of dy that are its own, zeros for the others. Slots that share a row of x get copies of it: their products are
  // summed, not their gradients, so that terms which cancel are rounded as in a kernel that goes through the slots.
  composite([x, weight, experts, dy], _, [wantsX, wantsWeight]) {
    const [E, out, width] = weight.shape;
    const [R, k] = experts.shape;
    const { backend } = x;
    const shared = x.shape.length === 2;
    const given = shared ? gatherRows(x, reshape(div(arange(backend, R * k), k), [R, k])) : x; // [R, k, in]
    const all = decoded(weight);
    const slots = reshape(experts, [R, k, 1]);
    const zero = fill(backend, [], 0);
    const dWeight = wantsWeight ? zeros(backend, weight.shape) : undefined;
    let dx = zeros(backend, given.shape);
    for (let e = 0; e < E; e++) {
      const former = dx;
      dx = scope(() => {
        const own = select(equal(slots, e), dy, zero); // [R, k, out]
        const [more, ofExpert] = linearGrad(given, expertOf(all, e), own, [wantsX, wantsWeight, false]);
        if (ofExpert && dWeight) writeSlice(reshape(ofExpert, [1, out, width]), dWeight, [e, 0, 0]);
        return more ? add(former, more) : former.retain();
      });
      former.dispose();
    }
    const perRow = shared ? sum(dx, [1]) : dx;
    return [wantsX ? reshape(perRow, x.shape) : undefined, dWeight];
  },
  decode: dequantize,
};

/**
 * dx = dy W of the slot's expert, summed over the slots where they share a row of x; dWeight[e] = dy^T x over the slots of e.
 * @param x f32 [R, in] or [R, k, in] @param weight f32 or packed [E, out, in] @param experts i32 [R, k] @param dy f32 [R, k, out]
 * @throws ShapeError, DTypeError
 */
export const expertLinearGrad = (
  x: Tensor,
  weight: Tensor | PackedTensor,
  experts: Tensor,
  dy: Tensor,
  wants: readonly [x: boolean, weight: boolean],
): readonly [dx: Tensor | undefined, dWeight: Tensor | undefined] =>
  dispatch(def, [x, weight, experts, dy], {}, { wants });

/** The checks that expert products share; returns the shape of the product. */
export function expectExperts(
  op: string,
  x: Tensor,
  weight: Tensor | PackedTensor,
  experts: Tensor,
): readonly [R: number, k: number, out: number] {
  expectDType(op, "x", x);
  expectMatrix(op, "weight", weight);
  expectRank(op, "weight", weight, 3, "[E, out, in]");
  expectDType(op, "experts", experts, "i32");
  expectRank(op, "experts", experts, 2, "[R, k]");
  const [R, k] = experts.shape;
  const [, out, width] = weight.shape;
  if (x.shape.length !== 2 && x.shape.length !== 3) {
    throw new ShapeError(`${op}: x must have shape [R, in] or [R, k, in], got ${showShape(x.shape)}`);
  }
  const because = "the slots of experts and the last axis of weight";
  expectShape(op, "x", x, x.shape.length === 2 ? [R, width] : [R, k, width], because, weight);
  return [R, k, out];
}

/** x with an axis for slots: [R, in] as [R, 1, in]. */
export function perSlot(x: Tensor): Tensor {
  return x.shape.length === 3 ? x : reshape(x, [x.shape[0], 1, x.shape[1]]);
}

/** The matrix of expert e, a window of [E, out, in]. */
export function expertOf(weight: Tensor, e: number): Tensor {
  const [, out, width] = weight.shape;
  return reshape(slice(weight, [e, 0, 0], [1, out, width]), [out, width]);
}
