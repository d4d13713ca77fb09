// y = silu(gate) * up for rows that hold gate, then up; silu(g) = g / (1 + exp(-g)).
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SWIGLU } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const swiglu =
  (engine: Engine): Kernels["swiglu"] =>
  ([gateUp], [y]) =>
    launchRows(engine, SWIGLU, rowsOf(y.shape), 6, [engine.at(gateUp), engine.at(y)]);
