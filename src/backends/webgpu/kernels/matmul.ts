// y = a b, per batch.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { FEW_ROWS, fewRowsProduct } from "../product-rows.js";
import { sideOf, tiledProduct } from "../product-tiles.js";

export const matmul =
  (engine: Engine): Kernels["matmul"] =>
  ([a, b], [y], { transposeA, transposeB }) => {
    const [m, n] = y.shape.slice(-2);
    const depth = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const batch = sizeOf(y.shape.slice(0, -2));
    const [bias, rounded] = [undefined, false];
    if (m <= FEW_ROWS && !transposeA && transposeB && batch === 1) {
      const { format, parts } = sideOf(b, false);
      fewRowsProduct(engine, { x: a, rounded, format, parts, bias, y, rows: m, width: depth, outs: n });
    } else {
      tiledProduct(engine, { a: sideOf(a, transposeA), b: sideOf(b, !transposeB), bias, y, batch, m, n, depth });
    }
  };
