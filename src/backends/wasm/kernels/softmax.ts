// y = exp(x - max) / sum of exp(x - max), over the last axis.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SOFTMAX } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const softmax =
  (engine: Engine): Kernels["softmax"] =>
  ([x], [y]) =>
    launchRows(engine, SOFTMAX, rowsOf(x.shape), 6, [engine.at(x), engine.at(y)]);
