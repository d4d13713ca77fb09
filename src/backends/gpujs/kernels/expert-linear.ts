// Each slot's row times the matrix of the expert that it names; an empty slot gives 0.
import { isPackedView } from "../../../core/view.js";
import { ints } from "../../cpu/read.js";
import type { GpuKernel } from "../gpu-kernel.js";
import type { Program } from "../program.js";

// The expert comes as a float; a count of whole numbers finds its place, which as a float would be wrong from 2^24 on.
const program: Program = {
  name: "expert-product",
  reads: ["x", "w", "chosen"],
  numbers: { experts: "Integer", outs: "Integer", inner: "Integer", slots: "Integer", xY: "Integer", xZ: "Integer" },
  body: `const expert = chosen[chosenAt + this.thread.z * slots + this.thread.y];
const first = xAt + this.thread.y * xY + this.thread.z * xZ;
let total = 0.0;
for (let e = 0; e < experts; e++) {
  if (e === expert) {
    const row = wAt + (e * outs + this.thread.x) * inner;
    for (let i = 0; i < inner; i++) { total += x[first + i] * w[row + i]; }
  }
}
return total;`,
};

export const expertLinear: GpuKernel<"expertLinear"> = (engine, [x, weight, experts], [y], { activations }) => {
  if (isPackedView(weight)) return "packed weight";
  if (activations !== "f32") return "rounded activations";
  const obstacle = engine.obstacle(x, weight, y);
  if (obstacle !== undefined) return obstacle;
  const [rows, slots, outs] = y.shape;
  const inner = weight.shape[2];
  const shared = x.shape.length === 2;
  const numbers = [weight.shape[0], outs, inner, slots, shared ? 0 : inner, shared ? inner : slots * inner];
  const chosen = Float32Array.from(ints(engine.memory.readable(experts)));
  using names = engine.memory.scratch(chosen.length, chosen);
  engine.run(program, [outs, slots, rows], [x, weight, names], numbers, y);
  return undefined;
};
