// y = x / sqrt(mean(x^2) + eps) * weight, over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { RMS_NORM } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const rmsNorm =
  (engine: Engine): Kernels["rmsNorm"] =>
  ([x, weight], [y], { eps }) =>
    launchRows(engine, RMS_NORM, rowsOf(x.shape), 1, [engine.at(x), engine.at(weight), engine.at(y)], [eps]);
