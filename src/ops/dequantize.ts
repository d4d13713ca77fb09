// Packed numbers as plain f32.
import { rowsOf } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { decodeParts } from "./decode-parts.js";
import { arange } from "./fill.js";
import { gatherRows } from "./gather-rows.js";
import { reshape } from "./reshape.js";

const def: OpDef<"dequantize"> = { name: "dequantize", infer: ([x]) => [{ shape: x.shape }] };

/** The numbers that a packed tensor stands for. On a backend that does not list the scheme it is composed of primitives. */
export function dequantize(x: PackedTensor): Tensor {
  if (x.scheme.name in x.backend.features.schemes) return dispatch(def, [x], {})[0];
  return scope(() => reshape(decodeParts(x, arange(x.backend, rowsOf(x.shape).rows), gatherRows), x.shape));
}
