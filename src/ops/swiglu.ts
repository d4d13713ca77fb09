// The gated activation of Qwen's feed-forwards.
import { withLastAxis } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { mul } from "./binary.js";
import { expectHalves, halves, swigluGrad } from "./swiglu-grad.js";
import { sigmoid } from "./unary.js";

const def: OpDef<"swiglu"> = {
  name: "swiglu",
  infer: ([gateUp]) => [{ shape: withLastAxis(gateUp.shape, expectHalves("swiglu", gateUp)) }],
  composite([gateUp]) {
    const [gate, up] = halves(gateUp);
    return [mul(mul(gate, sigmoid(gate)), up)];
  },
  vjp: ([gateUp], _, [dy]) => [dy && swigluGrad(gateUp, dy)],
};

/**
 * y = silu(gate) up with silu(g) = g sigmoid(g); gate is the first half of the last axis, up the second (Shazeer 2020).
 * @param gateUp f32 [..., 2I] @returns f32 [..., I] @throws ShapeError, DTypeError
 */
export const swiglu = (gateUp: Tensor): Tensor => dispatch(def, [gateUp], {})[0];
