// Elementwise work over operands that advance by strides of their own: copies, casts, select, binary.
import { broadcastStrides, mergedLoops } from "../loops.js";
import { sizeOf, stridesOf, type Shape } from "../../core/shape.js";
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { variants, type Shader } from "./shader.js";

/** One operand: where its first element lies, and elements between neighbours along each axis of the common shape. */
export interface Walk {
  readonly view: View;
  readonly strides: readonly number[];
}

/** Code for one element, in terms of the operands' elements a, b, c; `functions` stand before it. */
export interface PerElement {
  readonly name: string;
  readonly types: readonly DType[];
  readonly result: DType;
  readonly expression: string;
  readonly functions?: string;
}

export type Elementwise = (loops: number) => Shader;

const names = ["a", "b", "c"];
const LANES = 256;

/** Shaders of one expression, by the number of loops. */
export function elementwise({ name, types, result, expression, functions = "" }: PerElement): Elementwise {
  return variants((loops: number) => {
    const operands = names.slice(0, types.length);
    const params: Record<string, DType> = { elements: "u32" };
    for (let loop = 0; loop < loops; loop++) {
      if (loop > 0) params[`extent${loop}`] = "u32"; // the outermost one needs no bound
      for (const operand of [...operands, "y"]) params[`${operand}${loop}`] = "u32";
    }
    const places = operands.concat("y").map((operand) => `  var ${operand}_place = 0u;`);
    const steps = Array.from({ length: loops }, (_, i) => loops - 1 - i).map((loop) => {
      const at = loop === 0 ? "rest" : `rest % params.extent${loop}`;
      const advance = [...operands, "y"].map((operand) => `${operand}_place += at * params.${operand}${loop};`);
      return `  { let at = ${at}; ${advance.join(" ")}${loop === 0 ? "" : ` rest /= params.extent${loop};`} }`;
    });
    return {
      name,
      reads: Object.fromEntries(operands.map((operand, i) => [operand, types[i]])),
      writes: { y: result },
      params,
      lanes: LANES,
      code: `
${functions}
fn run(group: u32, lane: u32) {
  var rest = group * LANES + lane;
  if (rest >= params.elements) { return; }
${[...places, ...steps].join("\n")}
${operands.map((operand) => `  let ${operand} = ${operand}_at(${operand}_place);`).join("\n")}
  y_set(y_place, ${expression});
}`,
    };
  });
}

/** Runs it for each element of `shape`. */
export function strided(engine: Engine, shaders: Elementwise, shape: Shape, y: Walk, operands: readonly Walk[]): void {
  const elements = sizeOf(shape);
  if (elements === 0) return;
  const walks = [...operands, y];
  const merged = mergedLoops(
    shape,
    walks.map((walk) => walk.strides),
  );
  const loops = merged.length > 0 ? merged : [{ extent: 1, strides: walks.map(() => 0) }];
  const numbers = loops.flatMap(({ extent, strides }, i) => (i === 0 ? strides : [extent, ...strides]));
  engine.dispatch(
    shaders(loops.length),
    walks.map(({ view }) => view),
    [elements, ...numbers],
    Math.ceil(elements / LANES),
  );
}

/** Runs it for each element of y, to whose shape the operands are broadcast. */
export function broadcast(engine: Engine, shaders: Elementwise, y: View, operands: readonly View[]): void {
  const walks = operands.map((view) => ({ view, strides: broadcastStrides(view.shape, y.shape) }));
  strided(engine, shaders, y.shape, whole(y), walks);
}

/** A view in its own shape. */
export const whole = (view: View): Walk => ({ view, strides: stridesOf(view.shape) });

/** The box of a view that begins at `starts`. */
export function box(view: View, starts: readonly number[]): Walk {
  const strides = stridesOf(view.shape);
  const first = starts.reduce((sum, start, axis) => sum + start * strides[axis], 0);
  const rest = { ...view, offset: view.offset + first, shape: [Math.max(0, sizeOf(view.shape) - first)] };
  return { view: rest, strides };
}

/** Bits as they are. */
export const copy: Elementwise = elementwise({ name: "copy", types: ["u32"], result: "u32", expression: "a" });
