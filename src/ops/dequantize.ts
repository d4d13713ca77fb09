// Packed numbers as plain f32.
import { rowsOf } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { add } from "./binary.js";
import { decodeParts } from "./decode-parts.js";
import { arange, zeros } from "./fill.js";
import { gatherRows } from "./gather-rows.js";
import { reshape } from "./reshape.js";
import { writeSlice } from "./write-slice.js";

const def: OpDef<"dequantize"> = { name: "dequantize", infer: ([x]) => [{ shape: x.shape }] };

/** The numbers that a packed tensor stands for. On a backend that does not list the scheme it is composed of primitives. */
export function dequantize(x: PackedTensor): Tensor {
  if (x.scheme.name in x.backend.features.schemes) return dispatch(def, [x], {})[0];
  const { rows, width } = rowsOf(x.shape);
  const perRun = Math.max(1, Math.floor(RUN / Math.max(1, width)));
  return scope(() => {
    if (rows <= perRun) return reshape(decodeParts(x, arange(x.backend, rows), gatherRows), x.shape);
    const y = zeros(x.backend, [rows, width]);
    for (let row = 0; row < rows; row += perRun) {
      scope(() => {
        const run = add(arange(x.backend, Math.min(perRun, rows - row)), row);
        writeSlice(decodeParts(x, run, gatherRows), y, [row, 0]);
      });
    }
    return reshape(y, x.shape);
  });
}

/** Numbers that are decoded at a time: on the way they take some thirty times their memory. */
const RUN = 2 ** 18;
