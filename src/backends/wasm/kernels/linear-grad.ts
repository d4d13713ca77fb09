// The gradients of y = x W^T + b: dx = dy W, dW = dy^T x, db = the column sums of dy.
import { rowsOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { product } from "../product.js";
import { reduce } from "./reduce.js";

export const linearGrad =
  (engine: Engine): Kernels["linearGrad"] =>
  ([x, weight, dy], [dx, dWeight, dBias]) => {
    if (isPackedView(weight)) return DECLINED;
    const { rows, width: outs } = rowsOf(dy.shape);
    const { width: ins } = rowsOf(x.shape);
    const [xAt, dyAt] = [engine.at(x), engine.at(dy)];
    const wide = ins * 4;
    const tall = outs * 4;
    if (dx !== undefined) {
      const sizes = { batch: 1, rows, columns: ins, k: outs };
      const w = { at: engine.at(weight), row: wide, column: 4, batch: 0 };
      const c = { at: engine.at(dx), row: wide, column: 4, batch: 0 };
      product(engine, { at: dyAt, row: tall, column: 4, batch: 0 }, w, c, sizes, 0);
    }
    if (dWeight !== undefined) {
      const sizes = { batch: 1, rows: outs, columns: ins, k: rows };
      const c = { at: engine.at(dWeight), row: wide, column: 4, batch: 0 };
      product(
        engine,
        { at: dyAt, row: 4, column: tall, batch: 0 },
        { at: xAt, row: wide, column: 4, batch: 0 },
        c,
        sizes,
        0,
      );
    }
    if (dBias !== undefined) {
      const sums = { ...dBias, shape: [1, outs] };
      reduce(engine)([{ ...dy, shape: [rows, outs] }], [sums], { op: "sum", axes: [0] });
    }
    return undefined;
  };
