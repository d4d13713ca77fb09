// The numbers that a packed operand stands for.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { decodeAll } from "../packed-rows.js";

export const dequantize =
  (engine: Engine): Kernels["dequantize"] =>
  ([x], [y]) =>
    decodeAll(engine, x, engine.at(y));
