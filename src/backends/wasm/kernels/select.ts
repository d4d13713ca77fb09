// y = condition ? a : b, elementwise with broadcasting; any non-zero condition counts.
import type { Kernels } from "../../backend.js";
import { SELECT } from "../codes.js";
import type { Engine } from "../engine.js";
import { elementwise } from "../strided.js";

export const select =
  (engine: Engine): Kernels["select"] =>
  (operands, [y]) =>
    elementwise(engine, SELECT, y, operands);
