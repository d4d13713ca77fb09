// With s = sigmoid(gate): dGate = dy * up * s * (1 + gate * (1 - s)), dUp = dy * gate * s.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const swigluGrad: Kernel<"swigluGrad", void> = ([gateUp, dy], [dGateUp]) => {
  const { rows, width } = rowsOf(dy.shape);
  const from = floats(gateUp);
  const dOut = floats(dy);
  const to = floats(dGateUp);
  for (let r = 0; r < rows; r++) {
    const gateAt = r * 2 * width;
    const upAt = gateAt + width;
    for (let i = 0; i < width; i++) {
      const gate = from[gateAt + i];
      const d = dOut[r * width + i];
      const s = 1 / (1 + Math.exp(-gate));
      to[gateAt + i] = d * from[upAt + i] * s * (1 + gate * (1 - s));
      to[upAt + i] = d * gate * s;
    }
  }
};
