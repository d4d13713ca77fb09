// The numbers that a packed operand stands for.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { decodeRows } from "../packed-rows.js";

export const dequantize =
  (engine: Engine): Kernels["dequantize"] =>
  ([x], [y]) => {
    const { rows } = rowsOf(x.shape);
    decodeRows(engine, x, { tableRows: rows, pieces: 1, count: rows, indices: 0 }, engine.at(y));
  };
