// Gradients of y = x W^T + b: dx = dy W, dW = dy^T x, db = sum of dy over rows. Rounded activations count as the identity.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { product, transposed } from "../product.js";
import { MatrixRows, floats } from "../read.js";

export const linearGrad: Kernel<"linearGrad", void> = ([x, weight, dy], [dx, dWeight, dBias]) => {
  const { rows, width: inner } = rowsOf(x.shape);
  const { width: outs } = rowsOf(dy.shape);
  const dOut = floats(dy);
  if (dx !== undefined) {
    const turned = new MatrixRows(weight).loadTransposed(0, outs); // [inner, outs]
    product(dOut, 0, turned, 0, undefined, 0, floats(dx), 0, inner, rows, inner, outs);
  }
  if (dWeight !== undefined) {
    const left = transposed(dOut, 0, rows, outs);
    const right = transposed(floats(x), 0, rows, inner);
    product(left, 0, right, 0, undefined, 0, floats(dWeight), 0, inner, outs, inner, rows);
  }
  if (dBias !== undefined) {
    const sums = new Float64Array(outs);
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < outs; o++) sums[o] += dOut[r * outs + o];
    }
    floats(dBias).set(sums);
  }
};
