// The feed-forwards of a row's experts and their weighted sum: a mixture of experts without its gate.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { combineExperts } from "./combine-experts.js";
import { dequantize } from "./dequantize.js";
import { expectDType, expectMatrix, expectRank, expectShape } from "./expect.js";
import { expertLinear } from "./expert-linear.js";
import { expectActivations, type ProductOptions } from "./linear.js";
import { swiglu } from "./swiglu.js";

const def: OpDef<"expertMlp"> = {
  name: "expertMlp",
  infer([x, gateUp, down, experts, weights], { activations }) {
    expectActivations("expertMlp", activations);
    expectDType("expertMlp", "x", x);
    expectRank("expertMlp", "x", x, 2, "[R, D]");
    const [R, D] = x.shape;
    expectMatrix("expertMlp", "gateUp", gateUp);
    expectMatrix("expertMlp", "down", down);
    expectRank("expertMlp", "down", down, 3, "[E, D, I]");
    const [E, , I] = down.shape;
    expectShape("expertMlp", "down", down, [E, D, I], "the last axis of x", x);
    expectShape("expertMlp", "gateUp", gateUp, [E, 2 * I, D], "the last axis of x, and down", down);
    expectDType("expertMlp", "experts", experts, "i32");
    expectRank("expertMlp", "experts", experts, 2, "[R, k]");
    expectShape("expertMlp", "experts", experts, [R, experts.shape[1]], "the rows of x", x);
    expectDType("expertMlp", "weights", weights);
    expectShape("expertMlp", "weights", weights, experts.shape, "one for each slot of experts");
    return [{ shape: x.shape }];
  },
  composite([x, gateUp, down, experts, weights], { activations }) {
    const hidden = swiglu(expertLinear(x, gateUp, experts, { activations })); // [R, k, I]
    return [combineExperts(expertLinear(hidden, down, experts, { activations }), weights)];
  },
  // No rule: the backward pass replays the composite, so hidden is computed again, not kept.
  decode: dequantize,
};

/**
 * y[r] = sum over the slots j of weights[r, j] down_e (silu(gate_e x[r]) up_e x[r]), e = experts[r, j]; an empty slot (-1) adds nothing.
 * Activations as in `linear`, for both products.
 * @param x f32 [R, D] @param gateUp f32 or packed [E, 2I, D], rows of gate, then of up @param down f32 or packed [E, D, I]
 * @param experts i32 [R, k] @param weights f32 [R, k] @returns f32 [R, D]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function expertMlp(
  x: Tensor,
  gateUp: Tensor | PackedTensor,
  down: Tensor | PackedTensor,
  experts: Tensor,
  weights: Tensor,
  { activations = "f32" }: ProductOptions = {},
): Tensor {
  return dispatch(def, [x, gateUp, down, experts, weights], { activations })[0];
}
