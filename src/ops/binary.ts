// Elementwise operations of two operands of one type, broadcast from the last axis. Integers wrap; integer division truncates and by zero
// gives 0; shifts count modulo 32. A number stands for a tensor that holds it everywhere.
import type { BinaryOp } from "../backends/backend.js";
import { DTypeError } from "../core/errors.js";
import { broadcastShapes } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";
import { fill } from "./fill.js";

const comparisons: readonly BinaryOp[] = ["equal", "less"];
const onIntegers: readonly BinaryOp[] = ["and", "or", "xor", "shiftLeft", "shiftRight"];

const def: OpDef<"binary"> = {
  name: "binary",
  infer([a, b], { op }) {
    const allowed = onIntegers.includes(op) ? (["i32", "u32"] as const) : (["f32", "i32", "u32"] as const);
    expectDType(op, "a", a, ...allowed);
    expectDType(op, "b", b, ...allowed);
    if (a.dtype !== b.dtype) {
      throw new DTypeError(
        `${op}: both operands must hold one type, got ${a.toString()} and ${b.toString()}; cast() one of them`,
      );
    }
    return [{ shape: broadcastShapes(op, a.shape, b.shape), dtype: comparisons.includes(op) ? "u32" : a.dtype }];
  },
};

function binary(op: BinaryOp, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b !== "number") return dispatch(def, [a, b], { op })[0];
  const everywhere = fill(a.backend, [], b, { dtype: a.dtype });
  try {
    return dispatch(def, [a, everywhere], { op })[0];
  } finally {
    everywhere.dispose();
  }
}

export const add = (a: Tensor, b: Tensor | number): Tensor => binary("add", a, b);
export const sub = (a: Tensor, b: Tensor | number): Tensor => binary("sub", a, b);
export const mul = (a: Tensor, b: Tensor | number): Tensor => binary("mul", a, b);
export const div = (a: Tensor, b: Tensor | number): Tensor => binary("div", a, b);
export const minimum = (a: Tensor, b: Tensor | number): Tensor => binary("min", a, b);
export const maximum = (a: Tensor, b: Tensor | number): Tensor => binary("max", a, b);
/** u32: 1 where equal, else 0. */
export const equal = (a: Tensor, b: Tensor | number): Tensor => binary("equal", a, b);
/** u32: 1 where a < b, else 0. */
export const less = (a: Tensor, b: Tensor | number): Tensor => binary("less", a, b);
export const and = (a: Tensor, b: Tensor | number): Tensor => binary("and", a, b);
export const or = (a: Tensor, b: Tensor | number): Tensor => binary("or", a, b);
export const xor = (a: Tensor, b: Tensor | number): Tensor => binary("xor", a, b);
export const shiftLeft = (a: Tensor, b: Tensor | number): Tensor => binary("shiftLeft", a, b);
/** Keeps the sign of i32. */
export const shiftRight = (a: Tensor, b: Tensor | number): Tensor => binary("shiftRight", a, b);
