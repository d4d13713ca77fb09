// Softmax over the last axis.
import { ShapeError } from "../core/errors.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { div, mul, sub } from "./binary.js";
import { expectDType } from "./expect.js";
import { max, sum } from "./reduce.js";
import { stopGradient } from "./stop-gradient.js";
import { exp } from "./unary.js";

const def: OpDef<"softmax"> = {
  name: "softmax",
  infer([x]) {
    expectDType("softmax", "x", x);
    if (x.shape.length === 0) throw new ShapeError("softmax: x must have at least one axis, got []");
    return [{ shape: x.shape }];
  },
  composite([x]) {
    const e = exp(sub(x, stopGradient(max(x))));
    return [div(e, sum(e))];
  },
  vjp: (_, [y], [dy]) => [dy && mul(y, sub(dy, sum(mul(dy, y))))],
};

/**
 * y = exp(x) / sum(exp(x)) over the last axis, shifted by the maximum so that nothing overflows.
 * @param x f32 [..., n] @returns f32 [..., n] @throws ShapeError, DTypeError
 */
export const softmax = (x: Tensor): Tensor => dispatch(def, [x], {})[0];
