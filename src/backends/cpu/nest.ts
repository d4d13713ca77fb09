// Runs the loops over several operands whose axes advance by different strides: how binary, select, reduce, permute and slices walk memory.
import type { Shape } from "../../core/shape.js";
import { mergedLoops } from "../loops.js";

/**
 * Calls `row(starts, count, steps)` for each innermost run: operand j is to be visited at starts[j] + i * steps[j] for i below `count`. Axes
 * that lie in one piece in all operands are merged first, so equal shapes are a single run. `starts` is one array, reused.
 */
export function forEachRun(
  shape: Shape,
  strides: readonly (readonly number[])[],
  row: (starts: readonly number[], count: number, steps: readonly number[]) => void,
): void {
  if (shape.includes(0)) return;
  const loops = mergedLoops(shape, strides);
  const inner = loops.pop() ?? { extent: 1, strides: strides.map(() => 0) };
  const starts = strides.map(() => 0);
  const turns = loops.map(() => 0);
  for (;;) {
    row(starts, inner.extent, inner.strides);
    let level = loops.length - 1;
    for (; level >= 0; level--) {
      const loop = loops[level];
      for (let j = 0; j < starts.length; j++) starts[j] += loop.strides[j];
      if (++turns[level] < loop.extent) break;
      for (let j = 0; j < starts.length; j++) starts[j] -= loop.strides[j] * loop.extent;
      turns[level] = 0;
    }
    if (level < 0) return;
  }
}

/** y[yAt + ...] = x[xAt + ...] over `shape`, each side by strides of its own. */
export function copyStrided(
  shape: Shape,
  x: Uint32Array,
  xAt: number,
  xStrides: readonly number[],
  y: Uint32Array,
  yAt: number,
  yStrides: readonly number[],
): void {
  forEachRun(shape, [xStrides, yStrides], ([xStart, yStart], count, [xStep, yStep]) => {
    for (let i = 0; i < count; i++) y[yAt + yStart + i * yStep] = x[xAt + xStart + i * xStep];
  });
}
