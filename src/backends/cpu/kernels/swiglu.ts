// y = silu(gate) * up for rows that hold gate, then up; silu(g) = g / (1 + exp(-g)).
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const swiglu: Kernel<"swiglu", void> = ([gateUp], [y]) => {
  const { rows, width } = rowsOf(y.shape);
  swigluRows(floats(gateUp), floats(y), rows, width);
};

/** [rows, 2 * width] to [rows, width]. */
export function swigluRows(gateUp: Float32Array, y: Float32Array, rows: number, width: number): void {
  for (let r = 0; r < rows; r++) {
    const gateAt = r * 2 * width;
    const upAt = gateAt + width;
    for (let i = 0; i < width; i++) {
      const gate = gateUp[gateAt + i];
      y[r * width + i] = (gate / (1 + Math.exp(-gate))) * gateUp[upAt + i];
    }
  }
}
