// Elementwise work over operands that advance by strides of their own: copies, casts, select, binary.
import { broadcastStrides, mergedLoops, type Loop } from "../loops.js";
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

/** The shader for a number of loops; by fours, the operands that `repeated` marks with 1 stay the same along the innermost one. */
export type Elementwise = (form: string) => Shader;

const names = ["a", "b", "c"];
const LANES = 256;

export function elementwise({ name, types, result, expression, functions = "" }: PerElement): Elementwise {
  return variants((form: string): Shader => {
    const { loops, repeated } = JSON.parse(form) as Form;
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
    const one = `${operands.map((operand) => `  let ${operand} = ${operand}_at(${operand}_place);`).join("\n")}
  y_set(y_place, apply(${operands.join(", ")}));`;
    const vector = (operand: string, i: number): string =>
      repeated?.[i] === 1 ? `vec4<${types[i]}>(${operand}_at(${operand}_place))` : `${operand}_vec(${operand}_place)`;
    const component = (k: number): string => `apply(${operands.map((operand) => `${operand}[${k}]`).join(", ")})`;
    const four = `${operands.map((operand, i) => `  let ${operand} = ${vector(operand, i)};`).join("\n")}
  y_set_vec(y_place, vec4<${result}>(${[0, 1, 2, 3].map(component).join(", ")}));`;
    return {
      name,
      reads: Object.fromEntries(operands.map((operand, i) => [operand, types[i]])),
      writes: { y: result },
      params,
      lanes: LANES,
      code: `
${functions}
fn apply(${operands.map((operand, i) => `${operand}: ${types[i]}`).join(", ")}) -> ${result} { return ${expression}; }
fn run(group: u32, lane: u32) {
  var rest = (group * LANES + lane)${repeated ? " * 4u" : ""};
  if (rest >= params.elements) { return; }
${[...places, ...steps].join("\n")}
${repeated ? four : one}
}`,
    };
  });
}

interface Form {
  readonly loops: number;
  /** Where elements are taken by fours. */
  readonly repeated?: readonly number[];
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
  const form: Form = byFours(loops)
    ? { loops: loops.length, repeated: loops[loops.length - 1].strides.slice(0, -1).map((stride) => 1 - stride) }
    : { loops: loops.length };
  engine.dispatch(
    shaders(JSON.stringify(form)),
    walks.map(({ view }) => view),
    [elements, ...numbers],
    Math.ceil(elements / (form.repeated ? 4 * LANES : LANES)),
  );
}

/** Whether four neighbours are neighbours in y, and in each operand neighbours or the same, at places that are multiples of four. */
function byFours(loops: readonly Loop[]): boolean {
  const innermost = loops[loops.length - 1];
  if (innermost.extent % 4 !== 0) return false;
  return innermost.strides.every((stride, operand) => {
    const last = operand === innermost.strides.length - 1;
    if (stride === 0) return !last;
    return stride === 1 && loops.slice(0, -1).every(({ strides }) => strides[operand] % 4 === 0);
  });
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
