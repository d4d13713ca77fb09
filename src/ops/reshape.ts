// The same elements under another shape; free, because tensors are contiguous.
import { ShapeError } from "../core/errors.js";
import { checkShape, showShape, sizeOf, type Shape } from "../core/shape.js";
import { alias } from "../tensor/alias.js";
import type { Tensor } from "../tensor/tensor.js";

/** Shares memory with x. @throws ShapeError if the number of elements differs */
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkShape("reshape", shape);
  if (sizeOf(shape) !== x.size) {
    throw new ShapeError(`reshape: ${showShape(shape)} must hold the ${x.size} elements of x, got ${sizeOf(shape)}`);
  }
  return alias("reshape", x, { shape }, (x, dy) => reshape(dy, x.shape));
}
