// Gradients of expertLinear: dx[r, j] = W[e]^T dy[r, j], summed over j where the slots share a row of x; dW[e] = sum of dy[r, j] x^T over the
// slots of e, 0 for an expert that nobody chose.
import { isPackedView } from "../../../core/view.js";
import { DECLINED, type Kernel } from "../../backend.js";
import { GROUP_INPUT_GRAD, GROUP_WEIGHT_GRAD } from "../codes.js";
import type { Engine } from "../engine.js";
import { ITEM_SLOTS, columnsPerTile, combine, groupBytes, groupSlots, maxItems, rowsAtOnce } from "../experts.js";
import { BLOCK_COLUMNS, GATHERED_ROW, GATHERED_SLOTS } from "../layout.js";

/** Rows of a weight's gradient that a tile computes at most. */
const WEIGHT_ROWS = 64;
/** A block of 4 rows, then the gathered rows of x and of dy (assembly/experts-grad.ts). */
const WEIGHT_GRAD_BYTES = 4 * (4 * BLOCK_COLUMNS + GATHERED_SLOTS * (GATHERED_ROW + WEIGHT_ROWS));

export const expertLinearGrad =
  (engine: Engine): Kernel<"expertLinearGrad", void | typeof DECLINED> =>
  ([x, weight, experts, dy], [dx, dWeight]) => {
    if (isPackedView(weight)) return DECLINED;
    const [numExperts, outs, width] = weight.shape;
    const [rows, k] = experts.shape;
    const shared = x.shape.length === 2;
    const chunk = dx !== undefined && shared ? rowsAtOnce(rows, k * width) : rows;
    const forWidth = columnsPerTile(width, outs, chunk * k, numExperts, BLOCK_COLUMNS);
    const threadBytes = Math.max(ITEM_SLOTS * forWidth * 4, WEIGHT_GRAD_BYTES);
    const [grouping, waiting, scratch] = engine.scratch(
      groupBytes(rows * k, numExperts),
      dx !== undefined && shared ? chunk * k * width * 4 : 0,
      threadBytes * engine.threads,
    );
    const group = (row: number, count: number) =>
      groupSlots(engine, grouping, engine.at(experts) + row * k * 4, count * k, numExperts, shared ? k : 1);
    let groups: ReturnType<typeof group> | undefined;
    for (let row = 0; dx !== undefined && row < rows; row += chunk) {
      const count = Math.min(chunk, rows - row);
      groups = group(row, count);
      const matrix = [engine.at(weight), width * 4, outs * width * 4, width, outs];
      const to = shared ? waiting : engine.at(dx);
      const output = [to, width * 4, groups.order, groups.items, numExperts, forWidth];
      const words = [engine.at(dy) + row * k * outs * 4, outs * 4, ...matrix, ...output, scratch, threadBytes];
      engine.launch(GROUP_INPUT_GRAD, maxItems(count * k, numExperts) * Math.ceil(width / forWidth), words);
      if (!shared) continue;
      const chosen = engine.at(experts) + row * k * 4;
      combine(engine, waiting, 0, engine.at(dx) + row * width * 4, count, k, width, chosen, numExperts);
    }
    if (dWeight !== undefined) {
      if (groups === undefined || chunk < rows) groups = group(0, rows);
      const each = Math.min(WEIGHT_ROWS, columnsPerTile(outs, width, rows * k, numExperts, 4));
      const input = [engine.at(x), width * 4, groups.sources, engine.at(dy), outs * 4];
      const words = [...input, engine.at(dWeight), outs, width, each, groups.ends, groups.order, scratch, threadBytes];
      engine.launch(GROUP_WEIGHT_GRAD, numExperts * Math.ceil(outs / each), words);
    }
    return undefined;
  };
