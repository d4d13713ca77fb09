// Several tensors side by side.
import { DTypeError, ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { ambient, withTape } from "../tensor/ambient.js";
import { scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { slice } from "./slice.js";
import { writeSlice } from "./write-slice.js";

/**
 * Joins along `axis`; all other extents agree.
 * @throws ShapeError, DTypeError
 */
export function concat(xs: readonly Tensor[], axis: number): Tensor {
  const first = xs[0];
  if (first === undefined || !(axis in first.shape)) {
    throw new ShapeError(`concat: axis must name an axis of the operands, got ${axis} and ${xs.length} operands`);
  }
  const total = xs.reduce((extent, x) => extent + x.shape[axis], 0);
  const shape = first.shape.map((extent, i) => (i === axis ? total : extent));
  for (const x of xs) {
    if (x.dtype !== first.dtype)
      throw new DTypeError(`concat: operands must hold one type, got ${first.toString()} and ${x.toString()}`);
    if (x.shape.length !== shape.length || x.shape.some((extent, i) => i !== axis && extent !== shape[i])) {
      throw new ShapeError(
        `concat: operands must agree on every axis but ${axis}, got ${showShape(first.shape)} and ${showShape(x.shape)}`,
      );
    }
  }
  const startsOf = (extent: number): number[] => shape.map((_, i) => (i === axis ? extent : 0));
  const places = xs.map((_, i) => xs.slice(0, i).reduce((extent, x) => extent + x.shape[axis], 0));
  // The scope frees the result where an operand is refused.
  const y = withTape(undefined, () =>
    scope(() => {
      const joined = Tensor.allocate(first.backend, shape, first.dtype);
      xs.forEach((x, i) => writeSlice(x, joined, startsOf(places[i])));
      return joined;
    }),
  );
  ambient.tape?.ran({
    name: "concat",
    attrs: { axis },
    inputs: xs,
    outputs: [y],
    gradient: (_, __, [dy], wants) =>
      xs.map((x, i) => (wants[i] && dy ? slice(dy, startsOf(places[i]), x.shape) : undefined)),
  });
  return y;
}
