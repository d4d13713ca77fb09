// sum = x + residual, y = rmsNorm(sum): the residual stream and its norm in one pass.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { ADD_RMS_NORM } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const addRmsNorm =
  (engine: Engine): Kernels["addRmsNorm"] =>
  ([x, residual, weight], [sum, y], { eps }) => {
    const words = [x, residual, weight, sum, y].map((view) => engine.at(view));
    launchRows(engine, ADD_RMS_NORM, rowsOf(x.shape), 2, words, [eps]);
  };
