// y = x / sqrt(mean(x^2) + eps) * weight: a thread per row, then one per element.
import { rowsOf } from "../../../core/shape.js";
import type { GpuKernel } from "../gpu-kernel.js";
import type { Program } from "../program.js";

const inverseRms: Program = {
  name: "inverse-rms",
  reads: ["x"],
  numbers: { width: "Integer", eps: "Float" },
  body: `const first = xAt + this.thread.x * width;
let total = 0.0;
for (let i = 0; i < width; i++) {
  const v = x[first + i];
  total += v * v;
}
return 1.0 / Math.sqrt(total / width + eps);`,
};

const scaled: Program = {
  name: "scaled",
  reads: ["x", "scale", "weight"],
  numbers: { width: "Integer" },
  body: `return x[xAt + this.thread.z * width + this.thread.x] * scale[scaleAt + this.thread.z] * weight[weightAt + this.thread.x];`,
};

export const rmsNorm: GpuKernel<"rmsNorm"> = (engine, [x, weight], [y], { eps }) => {
  const obstacle = engine.obstacle(x, weight, y);
  if (obstacle !== undefined) return obstacle;
  const { rows, width } = rowsOf(x.shape);
  using scale = engine.memory.scratch(rows);
  engine.run(inverseRms, [rows, 1, 1], [x], [width, eps], scale);
  engine.run(scaled, [width, 1, rows], [x, scale, weight], [width], y);
  return undefined;
};
