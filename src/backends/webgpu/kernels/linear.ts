// y = x W^T + b: by rows of the weight where x has few, else by tiles.
import { rowsOf } from "../../../core/shape.js";
import type { DECLINED, Kernel } from "../../backend.js";
import { roundedRows } from "../activations.js";
import type { Engine } from "../engine.js";
import { hasByteCodes } from "../packed.js";
import { codeTilesProduct } from "../product-code-tiles.js";
import { productByLanes } from "../product-lanes.js";
import { FEW_ROWS, fewRowsProduct } from "../product-rows.js";
import { sideOf, tiledProduct } from "../product-tiles.js";

export const linear =
  (engine: Engine): Kernel<"linear", void | typeof DECLINED> =>
  ([x, weight, bias], [y], { activations }) => {
    const { rows, width } = rowsOf(x.shape);
    const outs = weight.shape[0];
    const b = sideOf(weight, false);
    const few = rows <= FEW_ROWS;
    // In tiles codes are unpacked again and again, which pays only where the device multiplies them packed.
    const rounded = activations === "q8" && hasByteCodes(b.format) && (few || engine.abilities.packedDot);
    const given = activations === "q8" && !rounded ? roundedRows(engine, x, rows, width) : x;
    const product = { x: given, rounded, format: b.format, parts: b.parts, bias, y, rows, width, outs };
    if (few) return fewRowsProduct(engine, product);
    if (rounded) return codeTilesProduct(engine, product);
    const many = engine.abilities.emulated ? productByLanes : tiledProduct;
    return many(engine, { a: sideOf(given, false), b, bias, y, batch: 1, m: rows, n: outs, depth: width });
  };
