// How a reduction over any axes is cut into steps that each go over one axis, or over parts of it.
import type { DType } from "../core/dtype.js";
import { stridesOf, type Shape } from "../core/shape.js";
import { broadcastStrides, mergedLoops } from "./loops.js";

export type Reduction = "sum" | "max" | "min";

/** One axis of [outer, n, inner] is reduced; where it is long and little lies beside it, in parts whose results are reduced in turn. */
export interface ReductionStep {
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
  /** Rows, or numbers, of a part. */
  readonly length: number;
  readonly parts: number;
}

/** The steps from x's shape to y's, innermost axis first; none where nothing is reduced. */
export function reductionSteps(
  x: Shape,
  y: Shape,
  partLength: (outer: number, n: number, inner: number) => number,
): ReductionStep[] {
  // Merged axes, of which those that stay and those that go take turns.
  const axes = mergedLoops(x, [stridesOf(x), broadcastStrides(y, x)]);
  const steps: ReductionStep[] = [];
  const outers = axes.map((_, i) => axes.slice(0, i).reduce((product, { extent }) => product * extent, 1));
  let inner = 1;
  for (let i = axes.length - 1; i >= 0; i--) {
    const {
      extent,
      strides: [, ofY],
    } = axes[i];
    if (ofY > 0) {
      inner *= extent;
      continue;
    }
    for (let n = extent, done = false; !done;) {
      const length = Math.min(n, partLength(outers[i], n, inner));
      const parts = Math.ceil(n / length);
      steps.push({ outer: outers[i], n, inner, length, parts });
      done = parts === 1;
      n = parts;
    }
  }
  return steps;
}

/** The result where there is no element. */
export function overNothing(op: Reduction, dtype: DType): number {
  if (op === "sum") return 0;
  if (dtype === "f32") return op === "max" ? -Infinity : Infinity;
  if (dtype === "u32") return op === "max" ? 0 : 2 ** 32 - 1;
  return op === "max" ? -(2 ** 31) : 2 ** 31 - 1;
}
