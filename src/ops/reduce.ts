// Sums and extremes over axes, each kept with extent 1.
import { reducedShape, sameShape, type Shape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";
import { reshape } from "./reshape.js";

const def: OpDef<"reduce"> = {
  name: "reduce",
  infer([x], { op, axes }) {
    expectDType(op, "x", x, "f32", "i32", "u32");
    return [{ shape: reducedShape(op, x.shape, axes), dtype: x.dtype }];
  },
};

const lastAxis = (x: Tensor): readonly number[] => (x.shape.length === 0 ? [] : [x.shape.length - 1]);

/** Sum over `axes`; over the last one unless given. */
export const sum = (x: Tensor, axes: readonly number[] = lastAxis(x)): Tensor =>
  dispatch(def, [x], { op: "sum", axes })[0];
/** Largest element over `axes`; over the last one unless given. An empty range gives -Infinity, or the type's least integer. */
export const max = (x: Tensor, axes: readonly number[] = lastAxis(x)): Tensor =>
  dispatch(def, [x], { op: "max", axes })[0];
/** Least element over `axes`; over the last one unless given. */
export const min = (x: Tensor, axes: readonly number[] = lastAxis(x)): Tensor =>
  dispatch(def, [x], { op: "min", axes })[0];

/** Undoes a broadcast: sums x down to `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((extent, axis) =>
    axis < lead || (shape[axis - lead] === 1 && extent !== 1) ? [axis] : [],
  );
  return scope(() => reshape(sum(x, axes), shape));
}
