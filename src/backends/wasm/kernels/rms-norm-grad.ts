// With s = 1 / sqrt(mean(x^2) + eps): dx = s * (w dy - x * s^2 * mean(w dy x)), dWeight = sum over rows of dy * x * s. Rows are cut into parts:
// a tile treats one, and its sum for dWeight waits in scratch memory until all parts are added in order.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { RMS_NORM_GRAD, SUM_PARTS } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { launchElements } from "../rows.js";

/** Parts shorter than this would cost more memory traffic than the rows themselves. */
const MIN_PART = 16;

export const rmsNormGrad =
  (engine: Engine): Kernels["rmsNormGrad"] =>
  ([x, weight, dy], [dx, dWeight], { eps }) => {
    const { rows, width } = rowsOf(x.shape);
    const part = Math.max(MIN_PART, perTile(rows, width * 4));
    const parts = Math.max(1, Math.ceil(rows / part)); // no rows: a sum of 0
    const [lines] = dWeight && parts > 1 ? engine.scratch(parts * width * 4) : [dWeight ? engine.at(dWeight) : 0];
    const words = [engine.at(x), engine.at(weight), engine.at(dy), dx ? engine.at(dx) : 0, lines];
    engine.launch(RMS_NORM_GRAD, parts, [rows, part, width, ...words], [eps]);
    if (dWeight && parts > 1) {
      launchElements(engine, SUM_PARTS, width, parts, [lines, parts, engine.at(dWeight)]);
    }
  };
