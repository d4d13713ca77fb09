// y = x W^T + b.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { activationRows } from "../activations.js";
import { matrixProduct } from "../product.js";
import { MatrixRows, floats } from "../read.js";

export const linear: Kernel<"linear", void> = ([x, weight, bias], [y], { activations }) => {
  const { rows, width: outs } = rowsOf(y.shape);
  const added = bias === undefined ? undefined : floats(bias);
  matrixProduct(activationRows(x, activations), new MatrixRows(weight), 0, outs, added, floats(y), rows);
};
