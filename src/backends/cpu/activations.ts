// The left operand of a product: as it is, or rounded by the Q8_0 rule where the op's `activations` attribute says so.
import { rowsOf } from "../../core/shape.js";
import type { View } from "../../core/view.js";
import { roundToQ8 } from "../../quant/schemes/q8.js";
import type { Activations } from "../backend.js";
import { floats } from "./read.js";

export function activationRows(x: View, activations: Activations): Float32Array<ArrayBuffer> {
  const { rows, width } = rowsOf(x.shape);
  return activations === "q8" ? roundToQ8(floats(x), rows, width) : floats(x);
}
