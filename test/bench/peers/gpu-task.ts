// What all sides compute on a GPU, in one page.
export type GpuTask =
  | { readonly op: "linear"; readonly m: number; readonly k: number; readonly n: number }
  | { readonly op: "rmsNorm" | "softmax" | "swiglu"; readonly rows: number; readonly width: number }
  | {
      readonly op: "attention";
      readonly tokens: number;
      readonly keys: number;
      readonly heads: number;
      readonly d: number;
    };

/** Computes so many times over, and hands the last result over. */
export type GpuSide = (count: number) => Promise<ArrayLike<number>>;

export const epsilon = 1e-6;

export interface GpuOperand {
  readonly name: string;
  readonly shape: readonly number[];
  readonly numbers: Float32Array;
}

/** `linear` takes its weight as [n, k] on our side and [k, n] on the others; attention sees everything. */
export function operandsOf(task: GpuTask, weight: "rows" | "columns"): GpuOperand[] {
  if (task.op === "linear") {
    const { m, k, n } = task;
    const b = (row: number, column: number): number => noise(row * n + column, 2);
    const stored =
      weight === "rows"
        ? operand("b", [n, k], (i) => b(i % k, Math.floor(i / k)))
        : operand("b", [k, n], (i) => b(Math.floor(i / n), i % n));
    return [operand("a", [m, k], (i) => noise(i, 1)), stored];
  }
  if (task.op === "attention") {
    const { tokens, keys, heads, d } = task;
    return [
      operand("q", [1, tokens, heads, d], (i) => noise(i, 1)),
      operand("k", [1, keys, heads, d], (i) => noise(i, 2)),
      operand("v", [1, keys, heads, d], (i) => noise(i, 3)),
    ];
  }
  const { op, rows, width } = task;
  const x = operand("x", [rows, op === "swiglu" ? 2 * width : width], (i) => noise(i, 1));
  return op === "rmsNorm" ? [x, operand("weight", [width], (i) => 1 + noise(i, 2))] : [x];
}

export function outputShape(task: GpuTask): number[] {
  if (task.op === "linear") return [task.m, task.n];
  if (task.op === "attention") return [1, task.tokens, task.heads, task.d];
  return [task.rows, task.width];
}

export function nameOf(task: GpuTask): string {
  const sizes = Object.entries(task).filter(([key]) => key !== "op");
  return task.op === "linear"
    ? `linear ${task.m}x${task.k}x${task.n}`
    : `${task.op} ${sizes.map(([key, size]) => `${key} ${size}`).join(", ")}`;
}

function operand(name: string, shape: readonly number[], at: (i: number) => number): GpuOperand {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return { name, shape, numbers: Float32Array.from({ length: size }, (_, i) => at(i)) };
}

/** Between -1/2 and 1/2, without a pattern. */
function noise(i: number, seed: number): number {
  let bits = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 15), 0x2c1b3c6d);
  return ((bits ^ (bits >>> 12)) >>> 0) / 2 ** 32 - 0.5;
}
