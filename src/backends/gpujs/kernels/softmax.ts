// y = exp(x - max) / sum of exp(x - max), over the last axis: the maxima, the sums, then each element.
import { rowsOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Engine } from "../engine.js";
import type { GpuKernel } from "../gpu-kernel.js";
import type { Program } from "../program.js";
import { rowMaxima } from "./reduce.js";

const sums: Program = {
  name: "exponential-sums",
  reads: ["x", "most"],
  numbers: { width: "Integer" },
  body: `const first = xAt + this.thread.x * width;
const top = most[mostAt + this.thread.x];
let total = 0.0;
for (let i = 0; i < width; i++) { total += Math.exp(x[first + i] - top); }
return total;`,
};

const shares: Program = {
  name: "exponential-shares",
  reads: ["x", "most", "total"],
  numbers: { width: "Integer" },
  body: `const v = x[xAt + this.thread.z * width + this.thread.x];
return Math.exp(v - most[mostAt + this.thread.z]) / total[totalAt + this.thread.z];`,
};

export const softmax: GpuKernel<"softmax"> = (engine, [x], [y]) => {
  const obstacle = engine.obstacle(x, y);
  if (obstacle !== undefined) return obstacle;
  const { rows, width } = rowsOf(x.shape);
  softmaxRows(engine, x, rows, width, y);
  return undefined;
};

export function softmaxRows(engine: Engine, x: View, rows: number, width: number, y: View): void {
  using most = engine.memory.scratch(rows);
  using total = engine.memory.scratch(rows);
  rowMaxima(engine, x, rows, width, most);
  engine.run(sums, [rows, 1, 1], [x, most], [width], total);
  engine.run(shares, [width, 1, rows], [x, most, total], [width], y);
}
