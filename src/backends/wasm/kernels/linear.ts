// y = x W^T + b. Few rows read each weight once, where it lies; many are worth packing it.
import { rowsOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { GEMM_ROWS } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { packedLinear } from "../packed-products.js";
import { product } from "../product.js";

/** Up to so many rows of x, packing a weight costs more than it saves. */
const FEW_ROWS = 16;

export const linear =
  (engine: Engine): Kernels["linear"] =>
  ([x, weight, bias], [y], { activations }) => {
    if (isPackedView(weight) || activations === "q8") return packedLinear(engine, x, weight, bias, y, activations);
    const { rows, width: columns } = rowsOf(y.shape);
    const { width: k } = rowsOf(x.shape);
    const added = bias === undefined ? 0 : engine.at(bias);
    const a = { at: engine.at(x), row: k * 4, column: 4, batch: 0 };
    const b = { at: engine.at(weight), row: 4, column: k * 4, batch: 0 };
    const c = { at: engine.at(y), row: columns * 4, column: 4, batch: 0 };
    if (rows > FEW_ROWS) return product(engine, a, b, c, { batch: 1, rows, columns, k }, added);
    if (rows === 0) return;
    const each = Math.ceil(perTile(columns, rows * k) / 4) * 4;
    const words = [a.at, a.row, rows, b.at, b.column, columns, k, c.at, c.row, each, added];
    engine.launch(GEMM_ROWS, Math.ceil(columns / each), words);
  };
