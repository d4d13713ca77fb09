// y[r] = sum over slots j of weights[r, j] * down[e](silu(gate[e] x) * up[e] x), e = experts[r, j]; gateUp holds gate's rows, then up's. Few
// slots go one by one, so that the cost follows the experts that are visited, not those that exist; many are grouped by expert.
import { isPackedView } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { GROUP_GATED, GROUP_LINEAR, SLOT_DOWN, SLOT_GATED } from "../codes.js";
import type { Engine } from "../engine.js";
import { byParts, type MlpPart } from "../expert-parts.js";
import { ITEM_SLOTS, columnsOfSlot, columnsPerTile, combine, groupBytes, groupSlots, maxItems } from "../experts.js";
import { packedExpertMlp } from "../packed-experts.js";

export const expertMlp =
  (engine: Engine): Kernel<"expertMlp", void> =>
  ([x, gateUp, down, experts, weights], [y], { activations }) => {
    const mlp = { x, gateUp, down, experts, weights, y };
    if (isPackedView(gateUp) || isPackedView(down) || activations === "q8") {
      return packedExpertMlp(engine, mlp, activations);
    }
    const [first, second] = [engine.at(gateUp), engine.at(down)];
    return byParts(
      engine,
      mlp,
      (part) => bySlot(engine, first, second, part),
      (part) => byExpert(engine, first, second, part),
    );
  };

/** Two launches: the hidden numbers of each slot, then columns of y over all slots of a row. */
function bySlot(engine: Engine, gateUp: number, down: number, part: MlpPart): void {
  const { rows, slots, k, numExperts, width, hidden, x, experts, weights, y } = part;
  const [inner] = engine.scratch(slots * hidden * 4);
  const forHidden = columnsOfSlot(hidden, 2 * width);
  const gateUpWords = [gateUp, width * 4, 2 * hidden * width * 4, hidden, width];
  const gated = [x, width * 4, k, ...gateUpWords, inner, hidden * 4, experts, numExperts, forHidden];
  engine.launch(SLOT_GATED, slots * Math.ceil(hidden / forHidden), gated);
  const forWidth = columnsOfSlot(width, k * hidden);
  const downWords = [down, hidden * 4, width * hidden * 4, width, hidden];
  const summed = [inner, hidden * 4, k, ...downWords, y, width * 4, experts, numExperts, forWidth, weights];
  engine.launch(SLOT_DOWN, rows * Math.ceil(width / forWidth), summed);
}

function byExpert(engine: Engine, gateUp: number, down: number, part: MlpPart): void {
  const { rows, slots, k, numExperts, width, hidden, x, experts, weights, y } = part;
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
  const gateUpWords = [gateUp, width * 4, 2 * hidden * width * 4, hidden, width, inner, hidden * 4];
  const gated = [x, width * 4, groups.sources, ...gateUpWords, ...chosen, forHidden, groups.items, sums, threadBytes];
  engine.launch(GROUP_GATED, items * Math.ceil(hidden / forHidden), gated);
  const forWidth = columnsPerTile(width, hidden, slots, numExperts, 4);
  const downWords = [down, hidden * 4, width * hidden * 4, width, hidden, waiting, width * 4];
  const results = [inner, hidden * 4, groups.order, ...downWords, ...chosen, forWidth, groups.items];
  engine.launch(GROUP_LINEAR, items * Math.ceil(width / forWidth), results);
  combine(engine, waiting, weights, y, rows, k, width, experts, numExperts);
}
