// x into the box of its shape that begins at `starts`.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { box, copy, strided, whole } from "../strided.js";

export const writeSlice =
  (engine: Engine): Kernels["writeSlice"] =>
  ([x], [into], { starts }) =>
    strided(engine, copy, x.shape, box(into, starts), [whole(x)]);
