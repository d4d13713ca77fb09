// Shape arithmetic. A tensor is a contiguous row-major window, so a shape is all there is to know about its layout.
import { ShapeError } from "./errors.js";

export type Shape = readonly number[];

/** Number of elements; 1 for a scalar's `[]`. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** `[2,3]`, as error messages and traces print it. */
export function showShape(shape: Shape): string {
  return `[${shape.join(",")}]`;
}

/** Throws a {@link ShapeError} unless every extent is a non-negative integer. */
export function checkShape(where: string, shape: Shape): void {
  if (shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) return;
  throw new ShapeError(`${where}: every extent of a shape must be a non-negative integer, got ${showShape(shape)}`);
}

/** Elements between two neighbours along each axis. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** The common shape of two operands, aligned at the last axis; extents must agree or be 1. */
export function broadcastShapes(where: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1;
    const y = b[b.length - i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new ShapeError(
        `${where}: shapes must broadcast (equal extents or 1 from the last axis), got ${showShape(a)} and ${showShape(b)}`,
      );
    }
    out[rank - i] = x === 1 ? y : x;
  }
  return out;
}

/** The shape after a reduction over `axes`, each kept with extent 1. */
export function reducedShape(where: string, shape: Shape, axes: readonly number[]): number[] {
  const out = [...shape];
  for (const axis of axes) {
    if (!Number.isInteger(axis) || axis < 0 || axis >= shape.length) {
      throw new ShapeError(`${where}: axes must name axes of ${showShape(shape)}, got ${showShape(axes)}`);
    }
    out[axis] = 1;
  }
  return out;
}

/** `[..., last]` seen as rows: how many rows, and how long one is. A scalar is one row of one. */
export function rowsOf(shape: Shape): { readonly rows: number; readonly width: number } {
  const width = shape.length === 0 ? 1 : shape[shape.length - 1];
  return { rows: sizeOf(shape.slice(0, -1)), width };
}

/** `shape` with another last axis. */
export function withLastAxis(shape: Shape, width: number): number[] {
  return [...shape.slice(0, -1), width];
}
