// y[r] = sum over slots j of weights[r, j] * down[e](silu(gate[e] x) * up[e] x), e = experts[r, j]; gateUp holds gate's rows, then up's. Few
// slots go one by one, so that the cost follows the experts that are visited, not those that exist; many are grouped by expert.
import { isPackedView, type View } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { GROUP_GATED, GROUP_LINEAR, SLOT_DOWN, SLOT_GATED } from "../codes.js";
import type { Engine } from "../engine.js";
import {
  FEW_SLOTS,
  ITEM_SLOTS,
  columnsOfSlot,
  columnsPerTile,
  combine,
  groupBytes,
  groupSlots,
  maxItems,
  rowsAtOnce,
} from "../experts.js";
import { packedExpertMlp } from "../packed-experts.js";

export const expertMlp =
  (engine: Engine): Kernel<"expertMlp", void> =>
  ([x, gateUp, down, experts, weights], [y], { activations }) => {
    if (isPackedView(gateUp) || isPackedView(down) || activations === "q8") {
      return packedExpertMlp(engine, { x, gateUp, down, experts, weights, y }, activations);
    }
    const [rows, k] = experts.shape;
    const run = rows * k <= FEW_SLOTS ? bySlot : byExpert;
    const chunk = rowsAtOnce(rows, k * (x.shape[1] + down.shape[2]));
    for (let row = 0; row < rows; row += chunk) {
      run(engine, { x, gateUp, down, experts, weights, y }, row, Math.min(chunk, rows - row));
    }
    return undefined;
  };

interface Views {
  readonly x: View;
  readonly gateUp: View;
  readonly down: View;
  readonly experts: View;
  readonly weights: View;
  readonly y: View;
}

/** Two launches: the hidden numbers of each slot, then columns of y over all slots of a row. */
function bySlot(engine: Engine, views: Views, row: number, rows: number): void {
  const { k, numExperts, width, hidden, x, experts, weights, y } = placed(engine, views, row);
  const [inner] = engine.scratch(rows * k * hidden * 4);
  const forHidden = columnsOfSlot(hidden, 2 * width);
  const gate = [engine.at(views.gateUp), width * 4, 2 * hidden * width * 4, hidden, width];
  const gated = [x, width * 4, k, ...gate, inner, hidden * 4, experts, numExperts, forHidden];
  engine.launch(SLOT_GATED, rows * k * Math.ceil(hidden / forHidden), gated);
  const forWidth = columnsOfSlot(width, k * hidden);
  const down = [engine.at(views.down), hidden * 4, width * hidden * 4, width, hidden];
  const summed = [inner, hidden * 4, k, ...down, y, width * 4, experts, numExperts, forWidth, weights];
  engine.launch(SLOT_DOWN, rows * Math.ceil(width / forWidth), summed);
}

function byExpert(engine: Engine, views: Views, row: number, rows: number): void {
  const { k, numExperts, width, hidden, x, experts, weights, y } = placed(engine, views, row);
  const slots = rows * k;
  const items = maxItems(slots, numExperts);
  const forHidden = columnsPerTile(hidden, 2 * width, slots, numExperts, 4);
  const threadBytes = 2 * ITEM_SLOTS * forHidden * 4;
  const [scratch, inner, waiting, sums] = engine.scratch(
    groupBytes(slots, numExperts),
    slots * hidden * 4,
    slots * width * 4,
    threadBytes * engine.threads,
  );
  const groups = groupSlots(engine, scratch, experts, slots, numExperts, k);
  const chosen = [groups.order, numExperts];
  const gate = [engine.at(views.gateUp), width * 4, 2 * hidden * width * 4, hidden, width, inner, hidden * 4];
  const gated = [x, width * 4, groups.sources, ...gate, ...chosen, forHidden, groups.items, sums, threadBytes];
  engine.launch(GROUP_GATED, items * Math.ceil(hidden / forHidden), gated);
  const forWidth = columnsPerTile(width, hidden, slots, numExperts, 4);
  const down = [engine.at(views.down), hidden * 4, width * hidden * 4, width, hidden, waiting, width * 4];
  const results = [inner, hidden * 4, groups.order, ...down, ...chosen, forWidth, groups.items];
  engine.launch(GROUP_LINEAR, items * Math.ceil(width / forWidth), results);
  combine(engine, waiting, weights, y, rows, k, width, experts, numExperts);
}

/** Sizes, and addresses from `row` on. */
function placed(engine: Engine, { x, down, experts, weights, y }: Views, row: number): Record<string, number> {
  const [numExperts, width, hidden] = down.shape;
  const k = experts.shape[1];
  return {
    ...{ k, numExperts, width, hidden },
    x: engine.at(x) + row * width * 4,
    experts: engine.at(experts) + row * k * 4,
    weights: engine.at(weights) + row * k * 4,
    y: engine.at(y) + row * width * 4,
  };
}
