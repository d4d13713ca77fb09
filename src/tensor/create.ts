// Tensors from numbers of the host.
import type { Backend } from "../backends/backend.js";
import { dtypeOf, type DType } from "../core/dtype.js";
import { DTypeError, ShapeError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import { checkShape, showShape, sizeOf, type Shape } from "../core/shape.js";
import { Tensor } from "./tensor.js";

/**
 * A tensor that holds `data` in row-major order. A plain array becomes `dtype` (f32 unless given); a typed array keeps its type. Without a
 * shape the result has one axis.
 * @throws ShapeError if the shape does not hold as many elements, RecordingError inside `record`
 */
export function tensor(
  backend: Backend,
  data: Float32Array | Int32Array | Uint32Array | readonly number[],
  shape: Shape = [data.length],
  dtype: DType = "f32",
): Tensor {
  checkShape("tensor", shape);
  if (sizeOf(shape) !== data.length) {
    throw new ShapeError(`tensor: shape ${showShape(shape)} must hold as many elements as data, got ${data.length}`);
  }
  const elements = ArrayBuffer.isView(data) ? data : typed(data, dtype);
  const held = dtypeOf(elements);
  if (held === undefined) {
    throw new DTypeError(`tensor: data must hold f32, i32 or u32, got ${elements.constructor.name}; convert it first`);
  }
  const made = Tensor.allocate(backend, shape, held);
  try {
    made.write(elements);
  } catch (error) {
    made.dispose();
    throw error;
  }
  return made;
}

/** Normal numbers with mean 0 and deviation `std`, drawn on the host so that all backends start from the same bits. */
export function randn(backend: Backend, shape: Shape, random: Random, std = 1): Tensor {
  checkShape("randn", shape);
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = std * random.normal();
  return tensor(backend, data, shape);
}

function typed(data: readonly number[], dtype: DType): Float32Array | Int32Array | Uint32Array {
  if (dtype === "f32") return Float32Array.from(data);
  return dtype === "i32" ? Int32Array.from(data) : Uint32Array.from(data);
}
