// Encodes the rows of x.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { encodeRows } from "../packed-rows.js";

export const quantize =
  (engine: Engine): Kernels["quantize"] =>
  ([x], [y]) =>
    encodeRows(engine, engine.at(x), y);
