// A box out of a tensor. Where only the leading axis is cut, it is a window that shares memory with x.
import { ShapeError } from "../core/errors.js";
import { showShape, stridesOf } from "../core/shape.js";
import { alias } from "../tensor/alias.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";
import { zeros } from "./fill.js";
import { boxFits, writeSlice } from "./write-slice.js";

const def: OpDef<"slice"> = {
  name: "slice",
  infer([x]) {
    expectDType("slice", "x", x, "f32", "i32", "u32");
    return [{ shape: x.shape }];
  },
};

/** The gradient of a box: zeros around it. */
export function padded(dy: Tensor, x: Tensor, starts: readonly number[]): Tensor {
  const dx = zeros(x.backend, x.shape);
  writeSlice(dy, dx, starts);
  return dx;
}

/**
 * The box of `sizes` elements that begins at `starts`.
 * @throws ShapeError if it does not lie inside x
 */
export function slice(x: Tensor, starts: readonly number[], sizes: readonly number[]): Tensor {
  const inside = boxFits(sizes, x.shape, starts);
  if (!inside) {
    throw new ShapeError(
      `slice: the box of ${showShape(sizes)} at ${showShape(starts)} must lie inside x, got ${showShape(x.shape)}`,
    );
  }
  const leading = x.shape.every((extent, axis) => axis === 0 || sizes[axis] === extent);
  if (leading && x.shape.length > 0) {
    const offset = starts[0] * stridesOf(x.shape)[0];
    return alias("slice", x, { shape: sizes, offset }, (x, dy) => padded(dy, x, starts));
  }
  return dispatch(def, [x], { starts }, { specs: [{ shape: sizes, dtype: x.dtype }] })[0];
}
