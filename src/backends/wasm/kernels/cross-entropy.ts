// loss[r] = log(sum of exp(logits[r])) - logits[r, target]; a target of -100, or out of range, gives 0.
import type { Kernels } from "../../backend.js";
import { CROSS_ENTROPY } from "../codes.js";
import { perTile, type Engine } from "../engine.js";

export const crossEntropy =
  (engine: Engine): Kernels["crossEntropy"] =>
  ([logits, targets], [loss]) => {
    const [rows, width] = logits.shape;
    const per = perTile(rows, width * 5);
    const words = [logits, targets, loss].map((view) => engine.at(view));
    engine.launch(CROSS_ENTROPY, Math.ceil(rows / per), [rows, per, width, ...words]);
  };
