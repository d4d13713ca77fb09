// y = x W^T + b: by rows of the weight where x has few, else by tiles.
import { rowsOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { DECLINED, Kernel } from "../../backend.js";
import { roundedRows } from "../activations.js";
import type { Engine } from "../engine.js";
import { hasScales } from "../packed.js";
import { FEW_ROWS, fewRowsProduct } from "../product-rows.js";
import { sideOf, tiledProduct } from "../product-tiles.js";

export const linear =
  (engine: Engine): Kernel<"linear", void | typeof DECLINED> =>
  ([x, weight, bias], [y], { activations }) => {
    const { rows, width } = rowsOf(x.shape);
    const outs = weight.shape[0];
    const b = sideOf(weight, false);
    const few = rows <= FEW_ROWS;
    const codes = activations === "q8" && few && hasScales(b.format);
    const numbers = (): View => (activations === "q8" ? roundedRows(engine, x, rows, width) : x);
    if (few) {
      const { format, parts } = b;
      fewRowsProduct(engine, { x: codes ? x : numbers(), rounded: codes, format, parts, bias, y, rows, width, outs });
      return undefined;
    }
    const a = sideOf(numbers(), false);
    return tiledProduct(engine, { a, b, bias, y, batch: 1, m: rows, n: outs, depth: width });
  };
