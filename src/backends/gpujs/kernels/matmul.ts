// y = a b: a thread per element.
import type { View } from "../../../core/view.js";
import type { Engine } from "../engine.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { variants } from "../program.js";

/** Elements from one number of an operand to the next: along the sum, along its own axis of y, and from batch to batch. */
export interface Steps {
  readonly sum: number;
  readonly own: number;
  readonly batch: number;
}

export interface ProductSizes {
  readonly batches: number;
  readonly rows: number;
  readonly outs: number;
  readonly inner: number;
}

const programs = variants((bias: "plain" | "bias") => ({
  name: `product-${bias}`,
  reads: bias === "bias" ? ["a", "b", "bias"] : ["a", "b"],
  numbers: {
    inner: "Integer",
    aSum: "Integer",
    aY: "Integer",
    aZ: "Integer",
    bSum: "Integer",
    bX: "Integer",
    bZ: "Integer",
  },
  body: `const aFirst = aAt + this.thread.y * aY + this.thread.z * aZ;
const bFirst = bAt + this.thread.x * bX + this.thread.z * bZ;
let total = 0.0;
for (let i = 0; i < inner; i++) { total += a[aFirst + i * aSum] * b[bFirst + i * bSum]; }
return total${bias === "bias" ? " + bias[biasAt + this.thread.x]" : ""};`,
}));

/** y[batch, row, out] = sum over i of a and b by their steps, plus bias[out]. */
export function product(
  engine: Engine,
  { batches, rows, outs, inner }: ProductSizes,
  a: View,
  aSteps: Steps,
  b: View,
  bSteps: Steps,
  bias: View | undefined,
  y: View,
): void {
  const alone = batches === 1;
  const extents = alone ? ([outs, 1, rows] as const) : ([outs, rows, batches] as const);
  const aNumbers = alone ? [aSteps.sum, 0, aSteps.own] : [aSteps.sum, aSteps.own, aSteps.batch];
  const numbers = [inner, ...aNumbers, bSteps.sum, bSteps.own, alone ? 0 : bSteps.batch];
  const program = programs(bias === undefined ? "plain" : "bias");
  engine.run(program, extents, bias === undefined ? [a, b] : [a, b, bias], numbers, y);
}

export const matmul: GpuKernel<"matmul"> = (engine, [a, b], [y], { transposeA, transposeB }) => {
  const obstacle = engine.obstacle(a, b, y);
  if (obstacle !== undefined) return obstacle;
  const [rows, outs] = y.shape.slice(-2);
  const inner = a.shape[a.shape.length - (transposeA ? 2 : 1)];
  const batches = y.shape.length === 3 ? y.shape[0] : 1;
  const aSteps = { sum: transposeA ? rows : 1, own: transposeA ? 1 : inner, batch: rows * inner };
  const bSteps = { sum: transposeB ? 1 : outs, own: transposeB ? inner : 1, batch: outs * inner };
  product(engine, { batches, rows, outs, inner }, a, aSteps, b, bSteps, undefined, y);
  return undefined;
};
