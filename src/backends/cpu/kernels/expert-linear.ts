// y[r, j] = W[experts[r, j]] x[r] (or x[r, j]); an empty slot gives 0 and costs nothing.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { activationRows } from "../activations.js";
import { gatherSlots, groupSlots, spreadSlots } from "../by-expert.js";
import { matrixProduct } from "../product.js";
import { MatrixRows, floats, ints } from "../read.js";

export const expertLinear: Kernel<"expertLinear", void> = ([x, weight, experts], [y], { activations }) => {
  const [numExperts, outs] = weight.shape;
  const slotsPerRow = x.shape.length === 2 ? experts.shape[1] : 1;
  const { width } = rowsOf(x.shape);
  const input = activationRows(x, activations);
  const matrix = new MatrixRows(weight);
  const chosen = ints(experts);
  const out = floats(y);
  out.fill(0);
  const { starts, slots } = groupSlots(chosen, 0, chosen.length, numExperts);
  for (let expert = 0; expert < numExperts; expert++) {
    const [begin, end] = [starts[expert], starts[expert + 1]];
    if (begin === end) continue;
    const rows = gatherSlots(input, width, slotsPerRow, slots, begin, end);
    const result = new Float32Array((end - begin) * outs);
    matrixProduct(rows, matrix, expert * outs, outs, undefined, result, end - begin);
    spreadSlots(result, outs, slots, begin, end, out, 0);
  }
};
