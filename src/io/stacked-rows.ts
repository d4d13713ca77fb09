// A matrix of the checkpoint's kind as blocks hold it: one parameter, or several with the rows of one below those of the other.
import { rowsOf, type Shape } from "../core/shape.js";
import type { Parameter } from "../layers/layer.js";

/** Rows of a parameter. */
export interface Rows {
  readonly parameter: Parameter;
  readonly row: number;
  readonly rows: number;
}

/** Parameters by the path of their matrix, from the top: those of a `Linear` and of what is `below` it are one. */
export function stacksOf(parameters: ReadonlyMap<string, Parameter>): ReadonlyMap<string, readonly Parameter[]> {
  const stacks = new Map<string, Parameter[]>();
  for (const [path, parameter] of parameters) {
    const whole = path.replace(/(\.below)+(?=\.weight$)/, "");
    const stack = stacks.get(whole);
    if (stack === undefined) stacks.set(whole, [parameter]);
    else stack.push(parameter);
  }
  return stacks;
}

/** Of the matrix that a stack is. */
export function stackedShape(stack: readonly Parameter[]): Shape {
  const [{ shape }] = stack;
  return stack.length === 1
    ? shape
    : [stack.reduce((sum, parameter) => sum + parameter.shape[0], 0), ...shape.slice(1)];
}

/** `count` rows of the matrix from row `from` on. */
export function rowsWithin(stack: readonly Parameter[], from: number, count: number): Rows[] {
  const found: Rows[] = [];
  let top = 0;
  for (const parameter of stack) {
    const { rows } = rowsOf(parameter.shape);
    const [begin, end] = [Math.max(from, top), Math.min(from + count, top + rows)];
    if (begin < end) found.push({ parameter, row: begin - top, rows: end - begin });
    top += rows;
  }
  return found;
}
