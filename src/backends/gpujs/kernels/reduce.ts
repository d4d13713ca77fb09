// Sum, maximum or minimum over some axes, one after the other from the innermost; a thread reduces one line, or a part of it.
import type { View } from "../../../core/view.js";
import { reductionSteps, type Reduction, type ReductionStep } from "../../reduction-steps.js";
import type { Engine } from "../engine.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { variants } from "../program.js";

/** Numbers that a thread reduces where few lines keep the device busy. */
const PART = 256;
/** Lines that do. */
const ENOUGH = 1024;

const combined = { sum: "total + v", max: "Math.max(total, v)", min: "Math.min(total, v)" };

// One of y and z numbers the parts of a line and the other the lines, as Extents want it.
const programs = variants((op: Reduction) => ({
  name: op,
  reads: ["x"],
  numbers: { n: "Integer", inner: "Integer", length: "Integer", partY: "Integer", partZ: "Integer", lineZ: "Integer" },
  body: `const start = (this.thread.y * partY + this.thread.z * partZ) * length;
const first = xAt + (this.thread.z * lineZ * n + start) * inner + this.thread.x;
let total = x[first];
for (let i = 1; i < length; i++) {
  if (start + i < n) {
    const v = x[first + i * inner];
    total = ${combined[op]};
  }
}
return total;`,
}));

export const reduce: GpuKernel<"reduce"> = (engine, [x], [y], { op }) => {
  if (x.dtype !== "f32") return "integers";
  const obstacle = engine.obstacle(x, y);
  if (obstacle !== undefined) return obstacle;
  const steps = reductionSteps(x.shape, y.shape, (outer, n, inner) => (outer * inner >= ENOUGH ? n : PART));
  if (steps.length === 0) return "no axis to reduce";
  reduceIn(engine, op, steps, x, y);
  return undefined;
};

function reduceIn(engine: Engine, op: Reduction, [step, ...rest]: readonly ReductionStep[], x: View, y: View): void {
  const { outer, n, inner, length, parts } = step;
  const into = (to: View): void => {
    const alone = outer === 1;
    const extents = alone ? ([inner, 1, parts] as const) : ([inner, parts, outer] as const);
    engine.run(programs(op), extents, [x], [n, inner, length, ...(alone ? [0, 1, 0] : [1, 0, 1])], to);
  };
  if (rest.length === 0) return into(y);
  using to = engine.memory.scratch(outer * parts * inner);
  into(to);
  reduceIn(engine, op, rest, to, y);
}

/** y[r] = the largest of row r. */
export function rowMaxima(engine: Engine, x: View, rows: number, width: number, y: View): void {
  engine.run(programs("max"), [1, 1, rows], [x], [width, 1, width, 0, 0, 1], y);
}
