// Gradients of y = x W^T + b: dx = dy W, dW = dy^T x, db = sum of dy over rows. Rounded activations count as the identity.
import { rowsOf } from "../../../core/shape.js";
import { DECLINED, type Kernel } from "../../backend.js";
import type { Engine } from "../engine.js";
import { sideOf, tiledProduct } from "../product-tiles.js";
import { reduce } from "./reduce.js";

export const linearGrad =
  (engine: Engine): Kernel<"linearGrad", void | typeof DECLINED> =>
  ([x, weight, dy], [dx, dWeight, dBias]) => {
    const { rows, width: inner } = rowsOf(x.shape);
    const { width: outs } = rowsOf(dy.shape);
    const common = { bias: undefined, batch: 1, n: inner };
    // Without a bias plain operands fit, even in two pieces each.
    if (dx) {
      const product = { ...common, a: sideOf(dy, false), b: sideOf(weight, true), y: dx, m: rows, depth: outs };
      if (tiledProduct(engine, product) === DECLINED) return DECLINED;
    }
    if (dWeight)
      tiledProduct(engine, { ...common, a: sideOf(dy, true), b: sideOf(x, true), y: dWeight, m: outs, depth: rows });
    if (dBias) {
      const sums = { ...dBias, shape: [1, outs] };
      reduce(engine)([{ ...dy, shape: [rows, outs] }], [sums], { op: "sum", axes: [0] });
    }
    return undefined;
  };
