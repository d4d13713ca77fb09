// The launch of elementwise work over operands that advance by strides of their own: copies, casts, select, binary.
import { stridesOf, type Shape, sizeOf } from "../../core/shape.js";
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";
import { broadcastStrides, mergedLoops } from "../loops.js";
import { F32, I32, STRIDED, U32 } from "./codes.js";
import { perTile, type Engine } from "./engine.js";

/** One operand: the address of its first element, and elements between neighbours along each axis of the common shape. */
export interface Walk {
  readonly at: number;
  readonly strides: readonly number[];
}

/** What commands call an element type. */
export const typeCodes: Readonly<Record<DType, number>> = { f32: F32, i32: I32, u32: U32 };

const OPERATIONS_PER_ELEMENT = 4;
const SCRATCH_BYTES = 64;

/** Does `what` for each element of `shape`; `types` are those of the first operand and of y, where it matters. */
export function strided(
  engine: Engine,
  what: number,
  types: readonly [DType, DType],
  shape: Shape,
  y: Walk,
  operands: readonly Walk[],
): void {
  const elements = sizeOf(shape);
  if (elements === 0) return;
  const walks = [y, ...operands];
  const loops = mergedLoops(
    shape,
    walks.map((walk) => walk.strides),
  );
  const inner = loops.pop() ?? { extent: 1, strides: walks.map(() => 0) };
  if (loops.length === 0) loops.push({ extent: 1, strides: walks.map(() => 0) });
  const [scratch] = engine.scratch(SCRATCH_BYTES * engine.threads);
  const count = perTile(elements, OPERATIONS_PER_ELEMENT);
  const words = [what, typeCodes[types[0]], typeCodes[types[1]], elements, count];
  const four = (of: (i: number) => number): void => {
    for (let i = 0; i < 4; i++) words.push(i < walks.length ? of(i) : 0);
  };
  four((i) => walks[i].at);
  four((i) => inner.strides[i] * 4);
  words.push(inner.extent, scratch, SCRATCH_BYTES, loops.length);
  for (const loop of loops.reverse()) {
    words.push(loop.extent);
    four((i) => loop.strides[i] * 4);
  }
  engine.launch(STRIDED, Math.ceil(elements / count), words);
}

/** A view of its own shape. */
export const whole = (engine: Engine, view: View): Walk => ({ at: engine.at(view), strides: stridesOf(view.shape) });

/** A view that is broadcast to `shape`. */
export const broadcast = (engine: Engine, view: View, shape: Shape): Walk => ({
  at: engine.at(view),
  strides: broadcastStrides(view.shape, shape),
});

/** The box of a view that begins at `starts`. */
export function box(engine: Engine, view: View, starts: readonly number[]): Walk {
  const strides = stridesOf(view.shape);
  return { at: engine.at(view) + 4 * starts.reduce((sum, start, axis) => sum + start * strides[axis], 0), strides };
}
