// Loops over several operands whose axes advance by different strides (0 where an operand is broadcast), as few as there can be.
import { stridesOf, type Shape } from "../core/shape.js";

/** One loop: how often it runs, and how far each operand moves per turn. */
export interface Loop {
  readonly extent: number;
  readonly strides: readonly number[];
}

/** Strides of an operand that is broadcast to `shape`, aligned at the last axis. */
export function broadcastStrides(operand: Shape, shape: Shape): number[] {
  const own = stridesOf(operand);
  const missing = shape.length - operand.length;
  return shape.map((_, axis) => (axis < missing || operand[axis - missing] === 1 ? 0 : own[axis - missing]));
}

/** The loops over `shape`, outermost first. Axes of 1 are left out, and those that lie in one piece in all operands are one loop. */
export function mergedLoops(shape: Shape, strides: readonly (readonly number[])[]): Loop[] {
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
