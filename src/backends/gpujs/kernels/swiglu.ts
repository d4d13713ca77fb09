// y = silu(gate) * up for rows that hold gate, then up.
import { rowsOf } from "../../../core/shape.js";
import type { GpuKernel } from "../gpu-kernel.js";
import type { Program } from "../program.js";

const program: Program = {
  name: "swiglu",
  reads: ["x"],
  numbers: { width: "Integer" },
  body: `const at = xAt + this.thread.z * 2 * width + this.thread.x;
const gate = x[at];
return gate / (1.0 + Math.exp(-gate)) * x[at + width];`,
};

export const swiglu: GpuKernel<"swiglu"> = (engine, [gateUp], [y]) => {
  const obstacle = engine.obstacle(gateUp, y);
  if (obstacle !== undefined) return obstacle;
  const { rows, width } = rowsOf(y.shape);
  engine.run(program, [width, 1, rows], [gateUp], [width], y);
  return undefined;
};
