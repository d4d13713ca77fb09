// With s = sigmoid(gate): dGate = dy * up * s * (1 + gate * (1 - s)), dUp = dy * gate * s.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { SWIGLU_GRAD } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchRows } from "../rows.js";

export const swigluGrad =
  (engine: Engine): Kernels["swigluGrad"] =>
  ([gateUp, dy], [dGateUp]) =>
    launchRows(engine, SWIGLU_GRAD, rowsOf(dy.shape), 8, [engine.at(gateUp), engine.at(dy), engine.at(dGateUp)]);
