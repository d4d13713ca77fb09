// The window of `into` that begins at `starts` and has x's shape becomes x; the rest keeps its bits.
import type { Kernels } from "../../backend.js";
import { COPY } from "../codes.js";
import type { Engine } from "../engine.js";
import { box, strided, whole } from "../strided.js";

export const writeSlice =
  (engine: Engine): Kernels["writeSlice"] =>
  ([x], [into], { starts }) => {
    strided(engine, COPY, [x.dtype, into.dtype], x.shape, box(engine, into, starts), [whole(engine, x)]);
  };
