// Constants made on the device, so that a recorded step has no host writes.
import type { Backend } from "../backends/backend.js";
import type { DType } from "../core/dtype.js";
import { checkShape, type Shape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";

const def: OpDef<"fill"> = { name: "fill", infer: () => [{ shape: [] }] };

export interface FillOptions {
  /** Added once per step along the last axis; 0 unless given. */
  readonly step?: number;
  /** "f32" unless given. */
  readonly dtype?: DType;
}

/** y[..., i] = value + step i. @throws ShapeError */
export function fill(
  backend: Backend,
  shape: Shape,
  value: number,
  { step = 0, dtype = "f32" }: FillOptions = {},
): Tensor {
  checkShape("fill", shape);
  return dispatch(def, [], { value, step }, { backend, specs: [{ shape, dtype }] })[0];
}

/** A tensor of zeros. */
export const zeros = (backend: Backend, shape: Shape, dtype?: DType): Tensor => fill(backend, shape, 0, { dtype });

/** 0, 1, ... count - 1, as i32 unless another type is given. */
export const arange = (backend: Backend, count: number, dtype: DType = "i32"): Tensor =>
  fill(backend, [count], 0, { step: 1, dtype });
