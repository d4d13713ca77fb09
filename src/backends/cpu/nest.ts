// Loops over several operands at once whose axes advance by different strides (0 where an operand is broadcast): how binary, select, reduce,
// permute and slices walk memory.
import { stridesOf, type Shape } from "../../core/shape.js";

/** One loop: how often it runs, and how far each operand moves per turn. */
interface Loop {
  extent: number;
  readonly strides: readonly number[];
}

/** Strides of an operand that is broadcast to `shape`, aligned at the last axis. */
export function broadcastStrides(operand: Shape, shape: Shape): number[] {
  const own = stridesOf(operand);
  const missing = shape.length - operand.length;
  return shape.map((_, axis) => (axis < missing || operand[axis - missing] === 1 ? 0 : own[axis - missing]));
}

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

function mergedLoops(shape: Shape, strides: readonly (readonly number[])[]): Loop[] {
  const loops: Loop[] = [];
  for (let axis = 0; axis < shape.length; axis++) {
    const extent = shape[axis];
    if (extent === 1) continue;
    const here = strides.map((operand) => operand[axis]);
    const outer = loops[loops.length - 1];
    if (outer !== undefined && outer.strides.every((stride, j) => stride === here[j] * extent)) {
      loops[loops.length - 1] = { extent: outer.extent * extent, strides: here };
    } else {
      loops.push({ extent, strides: here });
    }
  }
  return loops;
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
