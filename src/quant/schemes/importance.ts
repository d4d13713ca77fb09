// How much each number's error counts when an encoder searches for scales: as much as the inputs that meet its column are large, or all alike.
import { ConfigError, ShapeError } from "../../core/errors.js";
import { rowsOf, showShape, type Shape } from "../../core/shape.js";

/** The weights of the numbers from..to, the first at 0. They are read before the next call. */
export type Weigh = (from: number, to: number) => Float32Array;

/**
 * Weights of numbers of `shape` out of one importance per column (of length `width`), or one per column of each matrix of a stack (matrices x
 * width, as rows [E, in]). Where all importances of a range are 0, and where none are given, its numbers count alike.
 *
 * @throws ShapeError, ConfigError unless the importances are as many as columns, finite and not negative
 */
export function weigher(where: string, shape: Shape, importance: Float32Array | undefined): Weigh {
  let weights = new Float32Array(0);
  const room = (size: number): Float32Array => {
    if (weights.length < size) weights = new Float32Array(size).fill(1);
    return weights;
  };
  if (importance === undefined) return (from, to) => room(to - from);
  expectImportance(where, shape, importance);
  const { rows, width } = rowsOf(shape);
  const rowsOfOne = importance.length === width ? rows : shape[shape.length - 2];
  return (from, to) => {
    const own = room(to - from);
    let sum = 0;
    for (let i = from; i < to; i++) {
      const column = i % width;
      sum += own[i - from] = importance[Math.floor((i - column) / width / rowsOfOne) * width + column];
    }
    return sum > 0 ? own : own.fill(1);
  };
}

/** @throws ShapeError, ConfigError as {@link weigher} does */
export function expectImportance(where: string, shape: Shape, importance: Float32Array): void {
  const { rows, width } = rowsOf(shape);
  const stacked = shape.length > 2 && importance.length * shape[shape.length - 2] === rows * width;
  if (importance.length !== width && !stacked) {
    throw new ShapeError(
      `${where}: importance must hold one number per column of ${showShape(shape)}, or of each of its matrices, got ${importance.length}`,
    );
  }
  const bad = importance.findIndex((one) => !(one >= 0 && one < Infinity));
  if (bad < 0) return;
  throw new ConfigError(`${where}: importance must be finite and not negative, got ${importance[bad]} at ${bad}`);
}
