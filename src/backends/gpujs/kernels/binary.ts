// A function of two elements, broadcast over at most three axes.
import { stridesOf } from "../../../core/shape.js";
import type { BinaryOp } from "../../backend.js";
import { broadcastStrides, mergedLoops } from "../../loops.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { variants } from "../program.js";

const expressions = {
  add: "p + q",
  sub: "p - q",
  mul: "p * q",
  div: "p / q",
  min: "Math.min(p, q)",
  max: "Math.max(p, q)",
};
type FloatOp = keyof typeof expressions;

const programs = variants((op: FloatOp) => ({
  name: op,
  reads: ["a", "b"],
  numbers: { aX: "Integer", aY: "Integer", aZ: "Integer", bX: "Integer", bY: "Integer", bZ: "Integer" },
  body: `const p = a[aAt + this.thread.x * aX + this.thread.y * aY + this.thread.z * aZ];
const q = b[bAt + this.thread.x * bX + this.thread.y * bY + this.thread.z * bZ];
return ${expressions[op]};`,
}));

const isFloatOp = (op: BinaryOp): op is FloatOp => op in expressions;

export const binary: GpuKernel<"binary"> = (engine, [a, b], [y], { op }) => {
  if (a.dtype !== "f32" || !isFloatOp(op)) return "integers";
  const obstacle = engine.obstacle(a, b, y);
  if (obstacle !== undefined) return obstacle;
  const strides = [broadcastStrides(a.shape, y.shape), broadcastStrides(b.shape, y.shape), stridesOf(y.shape)];
  const loops = mergedLoops(y.shape, strides);
  if (loops.length > 3) return "more than three axes";
  const none = { extent: 1, strides: [0, 0] };
  const x = loops.pop() ?? none;
  const z = loops.shift() ?? none;
  const middle = loops.pop() ?? none;
  const numbers = [0, 1].flatMap((operand) => [x, middle, z].map((loop) => loop.strides[operand]));
  engine.run(programs(op), [x.extent, middle.extent, z.extent], [a, b], numbers, y);
  return undefined;
};
