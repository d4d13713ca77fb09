// y = condition ? a : b, elementwise with broadcasting; any non-zero condition counts.
import type { Kernels } from "../../backend.js";
import { SELECT } from "../codes.js";
import type { Engine } from "../engine.js";
import { broadcast, strided, whole } from "../strided.js";

export const select =
  (engine: Engine): Kernels["select"] =>
  (operands, [y]) => {
    const walks = operands.map((view) => broadcast(engine, view, y.shape));
    strided(engine, SELECT, [operands[1].dtype, y.dtype], y.shape, whole(engine, y), walks);
  };
