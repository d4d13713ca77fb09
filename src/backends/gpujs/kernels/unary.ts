// A function of each element.
import { sizeOf } from "../../../core/shape.js";
import type { UnaryOp } from "../../backend.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { variants } from "../program.js";

const bodies: Readonly<Record<UnaryOp, string>> = {
  neg: "return -v;",
  abs: "return Math.abs(v);",
  exp: "return Math.exp(v);",
  log: "return Math.log(v);",
  sin: "return Math.sin(v);",
  cos: "return Math.cos(v);",
  sqrt: "return Math.sqrt(v);",
  rsqrt: "return 1.0 / Math.sqrt(v);",
  sigmoid: "return 1.0 / (1.0 + Math.exp(-v));",
  // Far out some devices divide an infinity by another.
  tanh: "return Math.tanh(Math.max(-20.0, Math.min(20.0, v)));",
  // gpu.js rounds halves up: here they go to the even neighbour.
  round: `const low = Math.floor(v);
const part = v - low;
const odd = low - 2.0 * Math.floor(low * 0.5);
let up = 0.0;
if (part > 0.5) { up = 1.0; }
if (part === 0.5) { up = odd; }
return low + up;`,
};

const programs = variants((op: UnaryOp) => ({
  name: op,
  reads: ["x"],
  numbers: {},
  body: `const v = x[xAt + this.thread.x];\n${bodies[op]}`,
}));

export const unary: GpuKernel<"unary"> = (engine, [x], [y], { op }) => {
  if (x.dtype !== "f32") return "integers";
  const obstacle = engine.obstacle(x, y);
  if (obstacle !== undefined) return obstacle;
  engine.run(programs(op), [sizeOf(y.shape), 1, 1], [x], [], y);
  return undefined;
};
