// Ops that only move elements: words, values and bounds go along unchanged.
import type { Kernel } from "../../../backends/backend.js";
import { sizeOf, stridesOf } from "../../../core/shape.js";
import { move, positions, upTo } from "../cells.js";

/** Axis i of y is axis axes[i] of x. */
export const permute: Kernel<"permute", void> = ([x], [y], { axes }) => {
  const strides = stridesOf(x.shape);
  const from = positions(
    y.shape,
    axes.map((axis) => strides[axis]),
  );
  move(x, from, y, upTo(from.length));
};

const startOf = (starts: readonly number[], strides: readonly number[]): number =>
  starts.reduce((sum, start, axis) => sum + start * strides[axis], 0);

export const slice: Kernel<"slice", void> = ([x], [y], { starts }) => {
  const strides = stridesOf(x.shape);
  move(x, positions(y.shape, strides, startOf(starts, strides)), y, upTo(sizeOf(y.shape)));
};

export const writeSlice: Kernel<"writeSlice", void> = ([x], [into], { starts }) => {
  const strides = stridesOf(into.shape);
  move(x, upTo(sizeOf(x.shape)), into, positions(x.shape, strides, startOf(starts, strides)));
};
