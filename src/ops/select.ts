// Elementwise choice.
import { DTypeError } from "../core/errors.js";
import { broadcastShapes } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"select"> = {
  name: "select",
  infer([condition, a, b]) {
    expectDType("select", "condition", condition, "u32");
    expectDType("select", "a", a, "f32", "i32", "u32");
    if (a.dtype !== b.dtype) {
      throw new DTypeError(
        `select: both choices must hold one type, got ${a.toString()} and ${b.toString()}; cast() one of them`,
      );
    }
    return [
      {
        shape: broadcastShapes("select", condition.shape, broadcastShapes("select", a.shape, b.shape)),
        dtype: a.dtype,
      },
    ];
  },
};

/** a where the condition (u32) is not zero, b elsewhere; all three broadcast. */
export const select = (condition: Tensor, a: Tensor, b: Tensor): Tensor => dispatch(def, [condition, a, b], {})[0];
