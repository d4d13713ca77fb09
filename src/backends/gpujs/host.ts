// Kernels of the cpu backend on the host's side of this memory: all that gpu.js has no words for, and what it declines.
import { isPackedView, type Matrix, type Operand, type View } from "../../core/view.js";
import type { OpName } from "../backend.js";
import { kernels } from "../cpu/kernels.js";
import type { GpuJsMemory } from "./memory.js";

export type AnyKernel = (inputs: readonly Operand[], outputs: readonly Operand[], attrs: never) => void;

export function onHost(memory: GpuJsMemory, op: OpName): AnyKernel {
  const kernel = kernels[op] as unknown as AnyKernel;
  const readable = moved((view) => memory.readable(view));
  const writable = moved((view) => memory.writable(view));
  return (inputs, outputs, attrs) => kernel(inputs.map(readable), outputs.map(writable), attrs);
}

export function readableMatrix(memory: GpuJsMemory, matrix: Matrix): Matrix {
  return moved((view) => memory.readable(view))(matrix) as Matrix;
}

const moved =
  (move: (view: View) => View) =>
  (operand: Operand): Operand => {
    if (operand === undefined) return undefined;
    return isPackedView(operand) ? { ...operand, parts: operand.parts.map(move) } : move(operand);
  };
