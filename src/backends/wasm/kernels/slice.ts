// y = the window of x that begins at `starts` and has y's shape.
import type { Kernels } from "../../backend.js";
import { COPY } from "../codes.js";
import type { Engine } from "../engine.js";
import { box, strided, whole } from "../strided.js";

export const slice =
  (engine: Engine): Kernels["slice"] =>
  ([x], [y], { starts }) => {
    strided(engine, COPY, [x.dtype, y.dtype], y.shape, whole(engine, y), [box(engine, x, starts)]);
  };
