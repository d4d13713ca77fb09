// The rows of expertMlp, some at a time, as what waits for its sum in slot order must fit into memory. Few slots of such a part go one by one, many
// grouped by expert.
import type { Matrix, View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { FEW_SLOTS, rowsAtOnce } from "./experts.js";

/** The operands. */
export interface Mlp {
  readonly x: View;
  readonly gateUp: Matrix;
  readonly down: Matrix;
  readonly experts: View;
  readonly weights: View;
  readonly y: View;
}

/** Some rows: sizes, and addresses from the first of them on. */
export interface MlpPart {
  readonly rows: number;
  readonly slots: number;
  /** Slots of a row. */
  readonly k: number;
  readonly numExperts: number;
  readonly width: number;
  readonly hidden: number;
  readonly x: number;
  readonly experts: number;
  readonly weights: number;
  readonly y: number;
}

export function byParts(
  engine: Engine,
  { x, down, experts, weights, y }: Mlp,
  bySlot: (part: MlpPart) => void,
  byExpert: (part: MlpPart) => void,
): void {
  const [all, k] = experts.shape;
  const [numExperts, width, hidden] = down.shape;
  const run = all * k <= FEW_SLOTS ? bySlot : byExpert;
  const atOnce = rowsAtOnce(all, k * (width + 2 * hidden));
  for (let row = 0; row < all; row += atOnce) {
    const rows = Math.min(atOnce, all - row);
    run({
      ...{ rows, slots: rows * k, k, numExperts, width, hidden },
      x: engine.at(x) + row * width * 4,
      experts: engine.at(experts) + row * k * 4,
      weights: engine.at(weights) + row * k * 4,
      y: engine.at(y) + row * width * 4,
    });
  }
}
