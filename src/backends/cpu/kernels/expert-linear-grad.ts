// Gradients of expertLinear: dx[r, j] = W[e]^T dy[r, j], summed over j where the slots share a row of x; dW[e] = sum of dy[r, j] x^T over the
// slots of e, 0 for an expert that nobody chose.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { gatherSlots, groupSlots } from "../by-expert.js";
import { product, transposed } from "../product.js";
import { MatrixRows, floats, ints } from "../read.js";

export const expertLinearGrad: Kernel<"expertLinearGrad", void> = ([x, weight, experts, dy], [dx, dWeight]) => {
  const [numExperts, outs] = weight.shape;
  const slotsPerRow = x.shape.length === 2 ? experts.shape[1] : 1;
  const { rows, width } = rowsOf(x.shape);
  const input = floats(x);
  const dOut = floats(dy);
  const chosen = ints(experts);
  const matrix = dx === undefined ? undefined : new MatrixRows(weight);
  const dIn = dx === undefined ? undefined : new Float64Array(rows * width);
  const dMatrix = dWeight === undefined ? undefined : floats(dWeight);
  dMatrix?.fill(0);
  const { starts, slots } = groupSlots(chosen, 0, chosen.length, numExperts);
  for (let expert = 0; expert < numExperts; expert++) {
    const [begin, end] = [starts[expert], starts[expert + 1]];
    const size = end - begin;
    if (size === 0) continue;
    const dRows = gatherSlots(dOut, outs, 1, slots, begin, end);
    if (matrix !== undefined && dIn !== undefined) {
      const result = new Float32Array(size * width);
      const turned = matrix.loadTransposed(expert * outs, outs); // [width, outs]
      product(dRows, 0, turned, 0, undefined, 0, result, 0, width, size, width, outs);
      addSlots(result, width, slotsPerRow, slots, begin, end, dIn);
    }
    if (dMatrix !== undefined) {
      const left = transposed(dRows, 0, size, outs);
      const right = transposed(gatherSlots(input, width, slotsPerRow, slots, begin, end), 0, size, width);
      product(left, 0, right, 0, undefined, 0, dMatrix, expert * outs * width, width, outs, width, size);
    }
  }
  if (dx !== undefined && dIn !== undefined) floats(dx).set(dIn);
};

function addSlots(
  x: Float32Array,
  width: number,
  slotsPerRow: number,
  slots: Int32Array,
  begin: number,
  end: number,
  to: Float64Array,
): void {
  let at = 0;
  for (let i = begin; i < end; i++) {
    const start = Math.floor(slots[i] / slotsPerRow) * width;
    for (let j = 0; j < width; j++) to[start + j] += x[at++];
  }
}
