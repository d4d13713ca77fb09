// The checks that ops share. Each throws before anything is enqueued, with the op, the rule, what was found and what to do.
import type { Backend, Features } from "../backends/backend.js";
import type { DType } from "../core/dtype.js";
import { BackendError, ConfigError, DTypeError, ShapeError } from "../core/errors.js";
import { sameShape, showShape, type Shape } from "../core/shape.js";
import type { SchemeName } from "../core/view.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { Tensor } from "../tensor/tensor.js";

/** The operand is a plain tensor of this type. */
export function expectDType(op: string, what: string, x: Tensor | PackedTensor, ...allowed: readonly DType[]): void {
  if (!(x instanceof Tensor))
    throw new DTypeError(`${op}: ${what} must be a plain tensor, got ${String(x)}; dequantize() it first`);
  if (allowed.length === 0) allowed = ["f32"];
  if (!allowed.includes(x.dtype)) {
    throw new DTypeError(`${op}: ${what} must hold ${allowed.join(" or ")}, got ${x.toString()}; cast() it first`);
  }
}

/** The operand is f32 or packed. */
export function expectMatrix(op: string, what: string, x: Tensor | PackedTensor): void {
  if (x instanceof Tensor) expectDType(op, what, x);
}

export function expectRank(op: string, what: string, x: Tensor | PackedTensor, rank: number, form: string): void {
  if (x.shape.length !== rank)
    throw new ShapeError(`${op}: ${what} must have shape ${form}, got ${showShape(x.shape)}`);
}

/** The operand has exactly this shape; `because` says where its numbers come from, if `of` an operand, then with that one's shape behind it. */
export function expectShape(
  op: string,
  what: string,
  x: Tensor | PackedTensor,
  shape: Shape,
  because: string,
  of?: Tensor | PackedTensor,
): void {
  if (sameShape(x.shape, shape)) return;
  const reason = of ? `${because} ${showShape(of.shape)}` : because;
  throw new ShapeError(`${op}: ${what} must have shape ${showShape(shape)}, ${reason}, got ${showShape(x.shape)}`);
}

/** A weight for each element of x's last axis. */
export function expectLastAxis(op: string, what: string, weight: Tensor, x: Tensor): void {
  expectDType(op, "x", x);
  expectDType(op, what, weight);
  if (x.shape.length === 0) throw new ShapeError(`${op}: x must have at least one axis, got []`);
  expectShape(op, what, weight, x.shape.slice(-1), "the last axis of x", x);
}

/** An attribute that must be an integer within bounds. */
export function expectInteger(op: string, what: string, value: number, least: number, most: number = Infinity): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  const bounds = most === Infinity ? `at least ${least}` : `${least} to ${most}`;
  throw new ConfigError(`${op}: ${what} must be an integer of ${bounds}, got ${value}`);
}

/** The schemes that `quantize` and `appendKV` take on a backend: reading packed numbers is one thing, choosing their codes another. */
export const encodedBy = ({ schemes, encodes = Object.keys(schemes) }: Features): readonly SchemeName[] => encodes;

/** Quantising on the device needs a kernel that encodes by the scheme. */
export function expectEncoded(op: string, backend: Backend, scheme: string): void {
  const encoded = encodedBy(backend.features);
  if (encoded.includes(scheme)) return;
  throw new BackendError(
    `${op}: backend "${backend.name}" must encode scheme ${scheme}, got ${encoded.join(", ")}; encode on the host`,
  );
}
