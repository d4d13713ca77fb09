// Several tensors side by side.
import { DTypeError, ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { ambient, withTape } from "../tensor/ambient.js";
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
  const y = Tensor.allocate(first.backend, shape, first.dtype);
  const startsOf = (extent: number): number[] => shape.map((_, i) => (i === axis ? extent : 0));
  let at = 0;
  const places = xs.map((x) => {
    const place = at;
    at += x.shape[axis];
    withTape(undefined, () => writeSlice(x, y, startsOf(place)));
    return place;
  });
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
