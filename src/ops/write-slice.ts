// Writes a box into memory that the caller owns.
import { ShapeError } from "../core/errors.js";
import { showShape, sizeOf, type Shape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

/** The form of the target is the caller's; `writeSlice` below has checked that the box fits. */
const def = (into: Tensor): OpDef<"writeSlice"> => ({
  name: "writeSlice",
  infer([x]) {
    expectDType("writeSlice", "x", x, into.dtype);
    return [{ shape: into.shape, dtype: into.dtype }];
  },
});

/**
 * Overwrites the box of `into` that begins at `starts` with x.
 * @throws ShapeError if the box does not lie inside, DTypeError, AliasError if both share memory
 */
export function writeSlice(x: Tensor, into: Tensor, starts: readonly number[]): void {
  if (!boxFits(x.shape, into.shape, starts)) {
    throw new ShapeError(
      `writeSlice: x ${showShape(x.shape)} at ${showShape(starts)} must lie inside the target, got ${showShape(into.shape)}`,
    );
  }
  if (sizeOf(x.shape) > 0) dispatch(def(into), [x], { starts }, { targets: [into] });
}

/** Whether a box of these extents lies inside, at whole places. */
export function boxFits(box: Shape, into: Shape, starts: readonly number[]): boolean {
  if (box.length !== into.length || starts.length !== into.length) return false;
  return into.every((extent, axis) => {
    const [from, size] = [starts[axis], box[axis]];
    return Number.isInteger(from) && Number.isInteger(size) && from >= 0 && size >= 0 && from + size <= extent;
  });
}
