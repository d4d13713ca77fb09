// y = a b, rank 2, or 3 with a batch; either side may be read transposed.
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { product, type Plane } from "../product.js";

export const matmul =
  (engine: Engine): Kernels["matmul"] =>
  ([a, b], [y], { transposeA, transposeB }) => {
    const [rows, columns] = y.shape.slice(-2);
    const k = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const batch = y.shape.length === 3 ? y.shape[0] : 1;
    product(
      engine,
      plane(engine, a, transposeA),
      plane(engine, b, transposeB),
      plane(engine, y, false),
      { batch, rows, columns, k },
      0,
    );
  };

function plane(engine: Engine, view: View, transpose: boolean): Plane {
  const [rows, columns] = view.shape.slice(-2);
  const [row, column] = transpose ? [4, columns * 4] : [columns * 4, 4];
  return { at: engine.at(view), row, column, batch: rows * columns * 4 };
}
