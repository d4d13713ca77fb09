// Encodes the rows of x by q8_0, the one scheme that this backend lists.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { encodeRows } from "../packed-rows.js";

export const quantize =
  (engine: Engine): Kernels["quantize"] =>
  ([x], [y]) =>
    encodeRows(engine, engine.at(x), x.shape, y);
