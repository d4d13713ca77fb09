// The numbers that a packed operand stands for.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { rowDecoder } from "../../../quant/schemes/scheme.js";
import { schemeNamed } from "../../../quant/schemes/schemes.js";
import { floats, partWords } from "../read.js";

export const dequantize: Kernel<"dequantize", void> = ([x], [y]) => {
  const { rows, width } = rowsOf(x.shape);
  const out = floats(y);
  const decodeRow = rowDecoder(schemeNamed("dequantize", x.scheme), partWords(x), x.shape);
  for (let row = 0; row < rows; row++) decodeRow(row, out, row * width);
};
