// y[r, j] = W[experts[r, j]] x[r] (or x[r, j]); an empty slot gives 0 and costs nothing.
import { sizeOf } from "../../../core/shape.js";
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { groupSlots } from "../expert-groups.js";
import { expertMatrix, leftRows } from "../expert-operands.js";
import { groupedProducts, groupedViews, type GroupedProduct } from "../expert-products.js";
import { fewSlots, slotProducts, slotViews, type SlotProduct } from "../expert-vectors.js";
import { MAX_WINDOWS } from "../pipelines.js";

export const expertLinear =
  (engine: Engine): Kernels["expertLinear"] =>
  ([x, weight, experts], [y], { activations }) => {
    if (sizeOf(y.shape) === 0) return undefined;
    const matrix = expertMatrix(weight);
    const [rows, k] = experts.shape;
    const slots = rows * k;
    const shared = x.shape.length === 2;
    const left = leftRows(engine, x, shared ? rows : slots, matrix, activations);
    const product = {
      x: left,
      weight: matrix,
      slotsPerRow: shared ? k : 1,
      y: { ...y, shape: [slots, matrix.rows] },
    };
    if (fewSlots(slots, matrix)) {
      const few: SlotProduct = { ...product, chosen: experts };
      if (engine.bindings(...slotViews(few)) > MAX_WINDOWS) return DECLINED;
      slotProducts(engine, "rows", few);
    } else {
      const many: GroupedProduct = {
        ...product,
        result: "rows",
        groups: groupSlots(engine, experts, matrix.experts),
        from: 0,
      };
      if (engine.bindings(...groupedViews(many)) > MAX_WINDOWS) return DECLINED;
      groupedProducts(engine, many);
    }
    return undefined;
  };
