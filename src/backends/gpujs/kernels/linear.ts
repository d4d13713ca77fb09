// y = x W^T + b.
import { rowsOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { product } from "./matmul.js";

export const linear: GpuKernel<"linear"> = (engine, [x, weight, bias], [y], { activations }) => {
  if (isPackedView(weight)) return "packed weight";
  if (activations !== "f32") return "rounded activations";
  const obstacle = engine.obstacle(x, weight, y, ...(bias === undefined ? [] : [bias]));
  if (obstacle !== undefined) return obstacle;
  const { rows, width: outs } = rowsOf(y.shape);
  const inner = rowsOf(x.shape).width;
  const steps = { sum: 1, own: inner, batch: 0 };
  product(engine, { batches: 1, rows, outs, inner }, x, steps, weight, steps, bias, y);
  return undefined;
};
