// Each slot's product with the weight of its own expert.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { equal } from "./binary.js";
import { dequantize } from "./dequantize.js";
import { expectExperts, expertLinearGrad, expertOf, perSlot } from "./expert-linear-grad.js";
import { zeros } from "./fill.js";
import { decoded } from "./linear-grad.js";
import { expectActivations, linear, type ProductOptions } from "./linear.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";

const def: OpDef<"expertLinear"> = {
  name: "expertLinear",
  infer([x, weight, experts], { activations }) {
    expectActivations("expertLinear", activations);
    return [{ shape: expectExperts("expertLinear", x, weight, experts) }];
  },
  // All rows go through every expert, and a slot takes the product of its own. A scope each, else E products would pile up.
  composite([x, weight, experts], { activations }) {
    const [E, out] = weight.shape;
    const [R, k] = experts.shape;
    const given = perSlot(x);
    const all = decoded(weight);
    const slots = reshape(experts, [R, k, 1]);
    let y = zeros(x.backend, [R, k, out]);
    for (let e = 0; e < E; e++) {
      const former = y;
      y = scope(() => select(equal(slots, e), linear(given, expertOf(all, e), undefined, { activations }), former));
      former.dispose();
    }
    return [y];
  },
  // Straight through: the rounding of x counts as identity.
  vjp([x, weight, experts], _, [dy], __, [wantsX, wantsWeight]) {
    const [dx, dWeight] = dy ? expertLinearGrad(x, weight, experts, dy, [wantsX, wantsWeight]) : [];
    return [dx, dWeight, undefined];
  },
  decode: dequantize,
};

/**
 * y[r, j] = x[r, j] W[experts[r, j]]^T, or of x[r] where x has one row for all slots; 0 for an empty slot (-1, or any number that is no
 * expert). Activations as in {@link linear}.
 * @param x f32 [R, in] or [R, k, in] @param weight f32 or packed [E, out, in] @param experts i32 [R, k] @returns f32 [R, k, out]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function expertLinear(
  x: Tensor,
  weight: Tensor | PackedTensor,
  experts: Tensor,
  { activations = "f32" }: ProductOptions = {},
): Tensor {
  return dispatch(def, [x, weight, experts], { activations })[0];
}
