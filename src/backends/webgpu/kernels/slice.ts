// The box of y's shape that begins at `starts` in x.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { box, copy, strided, whole } from "../strided.js";

export const slice =
  (engine: Engine): Kernels["slice"] =>
  ([x], [y], { starts }) =>
    strided(engine, copy, y.shape, whole(y), [box(x, starts)]);
