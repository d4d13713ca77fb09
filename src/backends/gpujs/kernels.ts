// Which op runs where: on gpu.js, on the host by the cpu backend's kernel, or as its composite, for which there is nothing here.
import type { Kernels, OpName } from "../backend.js";
import type { Engine } from "./engine.js";
import { onHost, type AnyKernel } from "./host.js";
import { attention } from "./kernels/attention.js";
import { binary } from "./kernels/binary.js";
import { expertLinear } from "./kernels/expert-linear.js";
import { linear } from "./kernels/linear.js";
import { matmul } from "./kernels/matmul.js";
import { reduce } from "./kernels/reduce.js";
import { rmsNorm } from "./kernels/rms-norm.js";
import { rope } from "./kernels/rope.js";
import { softmax } from "./kernels/softmax.js";
import { swiglu } from "./kernels/swiglu.js";
import { unary } from "./kernels/unary.js";
import type { GpuKernel } from "./gpu-kernel.js";

const native = { unary, binary, reduce, matmul, linear, expertLinear, rmsNorm, softmax, swiglu, rope, attention };

/** Integers, moves of bits, searches, and writers into memory of the caller's; gpu.js knows none of these. */
const host: readonly OpName[] = [
  "fill",
  "cast",
  "permute",
  "slice",
  "writeSlice",
  "gatherRows",
  "scatterRows",
  "select",
  "scan",
  "topK",
  "quantize",
  "dequantize",
  "repack",
  "qkNormRope",
  "appendKV",
  "adamW",
  "route",
  "groupByExpert",
  "crossEntropy",
  "crossEntropyGrad",
  "attentionGrad",
  "expertLinearGrad",
];

export interface KernelTable {
  readonly kernels: Kernels;
  readonly native: readonly OpName[];
  readonly host: readonly OpName[];
  /** Native ops of which calls ran on the host, so far, each with the last reason. */
  readonly declined: ReadonlyMap<OpName, string>;
}

export function kernelsOf(engine: Engine): KernelTable {
  const declined = new Map<OpName, string>();
  const table: Partial<Record<OpName, AnyKernel>> = {};
  for (const op of host) table[op] = onHost(engine.memory, op);
  for (const [op, kernel] of Object.entries(native) as unknown as [OpName, GpuKernel<"unary">][]) {
    const fallback = onHost(engine.memory, op);
    table[op] = (inputs, outputs, attrs) => {
      const reason = kernel(engine, inputs as never, outputs as never, attrs);
      if (reason === undefined) return;
      declined.set(op, reason);
      fallback(inputs, outputs, attrs);
    };
  }
  return { kernels: table as unknown as Kernels, native: Object.keys(native) as OpName[], host, declined };
}
