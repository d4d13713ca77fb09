// y[r, j] = W[experts[r, j]] x[r] (or x[r, j]): few slots one by one, many grouped by expert.
import { isPackedView } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { GROUP_LINEAR, SLOT_LINEAR } from "../codes.js";
import type { Engine } from "../engine.js";
import { FEW_SLOTS, columnsOfSlot, columnsPerTile, groupBytes, groupSlots, maxItems } from "../experts.js";
import { packedExpertLinear } from "../packed-experts.js";

export const expertLinear =
  (engine: Engine): Kernel<"expertLinear", void> =>
  ([x, weight, experts], [y], { activations }) => {
    if (isPackedView(weight) || activations === "q8") {
      return packedExpertLinear(engine, x, weight, experts, y, activations);
    }
    const [numExperts, outs, width] = weight.shape;
    const [rows, k] = experts.shape;
    const slots = rows * k;
    if (slots === 0 || outs === 0) return undefined;
    const perRow = x.shape.length === 2 ? k : 1;
    const matrix = [engine.at(weight), width * 4, outs * width * 4, outs, width];
    const result = [engine.at(y), outs * 4];
    if (slots <= FEW_SLOTS) {
      const each = columnsOfSlot(outs, width);
      const words = [engine.at(x), width * 4, perRow, ...matrix, ...result, engine.at(experts), numExperts, each];
      engine.launch(SLOT_LINEAR, slots * Math.ceil(outs / each), words);
      return undefined;
    }
    const [scratch] = engine.scratch(groupBytes(slots, numExperts));
    const { order, sources, items } = groupSlots(engine, scratch, engine.at(experts), slots, numExperts, perRow);
    const each = columnsPerTile(outs, width, slots, numExperts, 4);
    const words = [engine.at(x), width * 4, sources, ...matrix, ...result, order, numExperts, each, items];
    engine.launch(GROUP_LINEAR, maxItems(slots, numExperts) * Math.ceil(outs / each), words);
    return undefined;
  };
