// Reordering of axes.
import { ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"permute"> = {
  name: "permute",
  infer([x], { axes }) {
    expectDType("permute", "x", x, "f32", "i32", "u32");
    if (
      axes.length !== x.shape.length ||
      new Set(axes).size !== axes.length ||
      axes.some((axis) => !(axis in x.shape))
    ) {
      throw new ShapeError(`permute: axes must name each axis of ${showShape(x.shape)} once, got ${showShape(axes)}`);
    }
    return [{ shape: axes.map((axis) => x.shape[axis]), dtype: x.dtype }];
  },
};

/** Axis i of the result is axis `axes[i]` of x. */
export const permute = (x: Tensor, axes: readonly number[]): Tensor => dispatch(def, [x], { axes })[0];
