// Which operands of an op are indices, and into what: for `observe(backend, { check: true })`. Kernels give out-of-range indices a defined
// meaning (zeros, skipped) and never report them.
import { elementsOver } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { Operand, View } from "../core/view.js";
import type { Command, Memory, OpName } from "./backend.js";

interface IndexRule {
  /** Which input holds the indices. */
  readonly at: number;
  /** Their least legal value. */
  readonly least: number;
  /** How many things there are to name. */
  bound(command: Command): number;
}

const rowsOfInput = (input: number) => (command: Command) => shapeOf(command.inputs[input])[0];
const rowsOfOutput = (output: number) => (command: Command) => shapeOf(command.outputs[output])[0];

const rules: { readonly [K in OpName]?: IndexRule } = {
  gatherRows: { at: 1, least: -1, bound: rowsOfInput(0) },
  scatterRows: { at: 1, least: -1, bound: rowsOfOutput(0) },
  rope: { at: 2, least: -1, bound: rowsOfInput(1) },
  qkNormRope: { at: 4, least: -1, bound: rowsOfInput(3) },
  appendKV: { at: 2, least: -1, bound: rowsOfOutput(0) },
  groupByExpert: { at: 0, least: -1, bound: ({ attrs }) => attrs.numExperts as number },
  expertLinear: { at: 2, least: -1, bound: rowsOfInput(1) },
  expertLinearGrad: { at: 2, least: -1, bound: rowsOfInput(1) },
  expertMlp: { at: 3, least: -1, bound: rowsOfInput(1) },
  // -100 marks a target that does not count.
  crossEntropy: { at: 1, least: -100, bound: ({ inputs }) => shapeOf(inputs[0])[1] },
  crossEntropyGrad: { at: 1, least: -100, bound: ({ inputs }) => shapeOf(inputs[0])[1] },
};

/** Reads back the indices of a command that ran; a message if one is out of range. */
export async function outOfRange(memory: Memory, command: Command): Promise<string | undefined> {
  const rule = rules[command.op];
  if (!rule) return undefined;
  const { storage, shape, offset } = command.inputs[rule.at] as View;
  const bytes = await memory.read(storage, offset * 4, sizeOf(shape) * 4);
  const indices = elementsOver("i32", bytes.buffer, bytes.byteOffset, sizeOf(shape));
  const bound = rule.bound(command);
  const bad = indices.findIndex((index) => index >= bound || index < rule.least || (index < 0 && index !== rule.least));
  if (bad < 0) return undefined;
  return `${command.op}: indices must be 0 to ${bound - 1} or ${rule.least}, got ${indices[bad]} at element ${bad} of operand ${rule.at}`;
}

function shapeOf(operand: Operand): readonly number[] {
  return operand?.shape ?? [];
}
