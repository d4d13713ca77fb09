// Elementwise functions of one operand.
import type { UnaryOp } from "../backends/backend.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"unary"> = {
  name: "unary",
  infer([x], { op }) {
    if (op === "neg" || op === "abs") expectDType(op, "x", x, "f32", "i32");
    else expectDType(op, "x", x);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
};

const unary = (op: UnaryOp, x: Tensor): Tensor => dispatch(def, [x], { op })[0];

export const neg = (x: Tensor): Tensor => unary("neg", x);
export const abs = (x: Tensor): Tensor => unary("abs", x);
export const exp = (x: Tensor): Tensor => unary("exp", x);
export const log = (x: Tensor): Tensor => unary("log", x);
export const sin = (x: Tensor): Tensor => unary("sin", x);
export const cos = (x: Tensor): Tensor => unary("cos", x);
export const sqrt = (x: Tensor): Tensor => unary("sqrt", x);
/** 1 / sqrt(x). */
export const rsqrt = (x: Tensor): Tensor => unary("rsqrt", x);
export const sigmoid = (x: Tensor): Tensor => unary("sigmoid", x);
export const tanh = (x: Tensor): Tensor => unary("tanh", x);
/** To the nearest integer, halves to the even one; its gradient is 0. */
export const round = (x: Tensor): Tensor => unary("round", x);
