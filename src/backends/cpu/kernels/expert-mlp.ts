// y[r] = sum over slots j of weights[r, j] * down[e](silu(gate[e] x) * up[e] x), e = experts[r, j]; gateUp holds gate's rows, then up's. The
// same numbers as expertLinear, swiglu, expertLinear, combineExperts, with tokens grouped once.
import type { Kernel } from "../../backend.js";
import { roundToQ8 } from "../../../quant/schemes/q8.js";
import { activationRows } from "../activations.js";
import { gatherSlots, groupSlots, spreadSlots } from "../by-expert.js";
import { matrixProduct } from "../product.js";
import { MatrixRows, floats, ints } from "../read.js";
import { combineRows } from "./combine-experts.js";
import { swigluRows } from "./swiglu.js";

/** Results per slot wait for their sum in slot order; rows are taken in chunks that keep them within so many numbers. */
const MAX_WAITING = 2 ** 22;

export const expertMlp: Kernel<"expertMlp", void> = ([x, gateUp, down, experts, weights], [y], { activations }) => {
  const [numExperts, doubled, width] = gateUp.shape;
  const hidden = doubled / 2;
  const [rows, k] = experts.shape;
  const input = activationRows(x, activations);
  const gateUpRows = new MatrixRows(gateUp);
  const downRows = new MatrixRows(down);
  const chosen = ints(experts);
  const factors = floats(weights);
  const out = floats(y);
  const chunk = Math.max(1, Math.floor(MAX_WAITING / Math.max(1, k * width)));
  for (let row = 0; row < rows; row += chunk) {
    const count = Math.min(chunk, rows - row);
    const waiting = new Float32Array(count * k * width); // empty slots stay 0
    const { starts, slots } = groupSlots(chosen, row * k, (row + count) * k, numExperts);
    for (let expert = 0; expert < numExperts; expert++) {
      const [begin, end] = [starts[expert], starts[expert + 1]];
      const size = end - begin;
      if (size === 0) continue;
      const gathered = gatherSlots(input, width, k, slots, begin, end);
      const both = new Float32Array(size * doubled);
      matrixProduct(gathered, gateUpRows, expert * doubled, doubled, undefined, both, size);
      const inner = new Float32Array(size * hidden);
      swigluRows(both, inner, size, hidden);
      const rounded = activations === "q8" ? roundToQ8(inner, size, hidden) : inner;
      const result = new Float32Array(size * width);
      matrixProduct(rounded, downRows, expert * width, width, undefined, result, size);
      spreadSlots(result, width, slots, begin, end, waiting, row * k);
    }
    combineRows(waiting, factors, row * k, out, row * width, count, k, width);
  }
};
