// The weighted sum of what the experts of a row gave.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { mul } from "./binary.js";
import { expectDType, expectRank, expectShape } from "./expect.js";
import { sum } from "./reduce.js";
import { reshape } from "./reshape.js";

const def: OpDef<"combineExperts"> = {
  name: "combineExperts",
  infer([x, weights]) {
    expectDType("combineExperts", "x", x);
    expectDType("combineExperts", "weights", weights);
    expectRank("combineExperts", "x", x, 3, "[R, k, D]");
    const [R, k, D] = x.shape;
    expectShape("combineExperts", "weights", weights, [R, k], "one for each slot of x", x);
    return [{ shape: [R, D] }];
  },
  composite([x, weights]) {
    const [R, k, D] = x.shape;
    return [reshape(sum(mul(x, reshape(weights, [R, k, 1])), [1]), [R, D])];
  },
  vjp([x, weights], _, [dy], __, [wantsX, wantsWeights]) {
    if (!dy) return [undefined, undefined];
    const [R, k, D] = x.shape;
    const each = reshape(dy, [R, 1, D]);
    return [
      wantsX ? mul(each, reshape(weights, [R, k, 1])) : undefined,
      wantsWeights ? reshape(sum(mul(each, x)), [R, k]) : undefined,
    ];
  },
};

/**
 * y[r] = sum of x[r, j] weights[r, j] over the slots j, in order.
 * @param x f32 [R, k, D] @param weights f32 [R, k] @returns f32 [R, D] @throws ShapeError, DTypeError
 */
export const combineExperts = (x: Tensor, weights: Tensor): Tensor => dispatch(def, [x, weights], {})[0];
