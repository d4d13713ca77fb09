// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { borrowed } from "./borrowed.js";
import { binary } from "./kernels/binary.js";
import { cast } from "./kernels/cast.js";
import { dequantize } from "./kernels/dequantize.js";
import { fill } from "./kernels/fill.js";
import { gatherRows } from "./kernels/gather-rows.js";
import { matmul } from "./kernels/matmul.js";
import { permute } from "./kernels/permute.js";
import { quantize } from "./kernels/quantize.js";
import { reduce } from "./kernels/reduce.js";
import { scan } from "./kernels/scan.js";
import { scatterRows } from "./kernels/scatter-rows.js";
import { select } from "./kernels/select.js";
import { slice } from "./kernels/slice.js";
import { topK } from "./kernels/top-k.js";
import { writeSlice } from "./kernels/write-slice.js";

export function kernelsOf(engine: Engine): Kernels {
  return {
    ...borrowed(engine),
    fill: fill(engine),
    cast: cast(engine),
    permute: permute(engine),
    slice: slice(engine),
    writeSlice: writeSlice(engine),
    gatherRows: gatherRows(engine),
    scatterRows: scatterRows(engine),
    binary: binary(engine),
    select: select(engine),
    reduce: reduce(engine),
    scan: scan(engine),
    topK: topK(engine),
    matmul: matmul(engine),
    quantize: quantize(engine),
    dequantize: dequantize(engine),
  };
}
