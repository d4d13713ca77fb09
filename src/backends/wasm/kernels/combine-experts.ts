// y[r] = sum of x[r, j] * weights[r, j] over the slots j, in their order.
import type { Kernel } from "../../backend.js";
import type { Engine } from "../engine.js";
import { combine } from "../experts.js";

export const combineExperts =
  (engine: Engine): Kernel<"combineExperts", void> =>
  ([x, weights], [y]) => {
    const [rows, slots, width] = x.shape;
    combine(engine, engine.at(x), engine.at(weights), engine.at(y), rows, slots, width);
  };
