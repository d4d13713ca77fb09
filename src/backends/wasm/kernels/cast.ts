// The same number in another type; towards integers it is cut off, saturates, and NaN becomes 0.
import type { Kernels } from "../../backend.js";
import { CAST, COPY } from "../codes.js";
import type { Engine } from "../engine.js";
import { elementwise } from "../strided.js";

export const cast =
  (engine: Engine): Kernels["cast"] =>
  ([x], [y]) => {
    elementwise(engine, x.dtype === y.dtype ? COPY : CAST, y, [x]);
  };
