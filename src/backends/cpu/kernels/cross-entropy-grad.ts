// dLogits[r] = dLoss[r] * (softmax(logits[r]) - onehot(target)); 0 where the target does not count.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { floats, ints } from "../read.js";
import { exponentials } from "./softmax.js";

export const crossEntropyGrad: Kernel<"crossEntropyGrad", void> = ([logits, targets, dLoss], [dLogits]) => {
  const { rows, width } = rowsOf(logits.shape);
  const from = floats(logits);
  const wanted = ints(targets);
  const factors = floats(dLoss);
  const out = floats(dLogits);
  const exps = new Float64Array(width);
  for (let r = 0; r < rows; r++) {
    const target = wanted[r];
    const at = r * width;
    if (target < 0 || target >= width) {
      out.fill(0, at, at + width);
      continue;
    }
    const sum = exponentials(from, at, width, exps);
    const factor = factors[r];
    for (let i = 0; i < width; i++) out[at + i] = factor * (exps[i] / sum - (i === target ? 1 : 0));
  }
};
