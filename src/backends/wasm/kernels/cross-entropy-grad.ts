// dLogits[r] = dLoss[r] * (softmax(logits[r]) - onehot(target)); 0 where the target does not count.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { CROSS_ENTROPY_GRAD } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const crossEntropyGrad =
  (engine: Engine): Kernels["crossEntropyGrad"] =>
  ([logits, targets, dLoss], [dLogits]) => {
    const words = [logits, targets, dLoss, dLogits].map((view) => engine.at(view));
    launchRows(engine, CROSS_ENTROPY_GRAD, rowsOf(logits.shape), 9, words);
  };
