// The launch of elementwise work over operands that advance by strides of their own: copies, casts, select, binary.
import { stridesOf, type Shape, sizeOf } from "../../core/shape.js";
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";
import { broadcastStrides, mergedLoops, type Loop } from "../loops.js";
import { COPY, F32, I32, STRIDED, U32 } from "./codes.js";
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

/** Does `what` for each element of y with the operands' elements at its place; they are broadcast. */
export function elementwise(engine: Engine, what: number, y: View, operands: readonly View[]): void {
  const elements = sizeOf(y.shape);
  if (elements === 0) return;
  const at = [engine.at(y)];
  const steps = [1];
  for (const operand of operands) {
    const size = sizeOf(operand.shape);
    if (size !== elements && size !== 1) {
      const walks = operands.map((view) => ({ at: engine.at(view), strides: broadcastStrides(view.shape, y.shape) }));
      strided(engine, what, [operands[0].dtype, y.dtype], y.shape, whole(engine, y), walks);
      return;
    }
    at.push(engine.at(operand));
    steps.push(size === 1 ? 0 : 1);
  }
  // One run, the case of most calls: nothing is to be found out about axes.
  launch(engine, what, [operands[0].dtype, y.dtype], elements, at, { extent: elements, strides: steps }, []);
}

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
  const inner = loops.pop() ?? { extent: 1, strides: [] };
  launch(
    engine,
    what,
    types,
    elements,
    walks.map((walk) => walk.at),
    inner,
    loops,
  );
}

const NO_LOOP: Loop = { extent: 1, strides: [] };

function launch(
  engine: Engine,
  what: number,
  types: readonly [DType, DType],
  elements: number,
  at: readonly number[],
  inner: Loop,
  loops: readonly Loop[],
): void {
  const [scratch] = what === COPY ? [0] : engine.scratch(SCRATCH_BYTES * engine.threads);
  const count = perTile(elements, OPERATIONS_PER_ELEMENT);
  const words = [what, typeCodes[types[0]], typeCodes[types[1]], elements, count];
  for (let i = 0; i < 4; i++) words.push(at[i] ?? 0);
  pushStrides(words, inner);
  words.push(inner.extent, scratch, SCRATCH_BYTES, Math.max(1, loops.length));
  for (let i = Math.max(0, loops.length - 1); i >= 0; i--) {
    const loop = loops[i] ?? NO_LOOP;
    words.push(loop.extent);
    pushStrides(words, loop);
  }
  engine.launch(STRIDED, Math.ceil(elements / count), words);
}

/** In bytes, of four operands whether they are there or not. */
function pushStrides(words: number[], { strides }: Loop): void {
  for (let i = 0; i < 4; i++) words.push((strides[i] ?? 0) * 4);
}

/** A view of its own shape. */
export const whole = (engine: Engine, view: View): Walk => ({ at: engine.at(view), strides: stridesOf(view.shape) });

/** The box of a view that begins at `starts`. */
export function box(engine: Engine, view: View, starts: readonly number[]): Walk {
  const strides = stridesOf(view.shape);
  return { at: engine.at(view) + 4 * starts.reduce((sum, start, axis) => sum + start * strides[axis], 0), strides };
}
