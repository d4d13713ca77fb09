// All kernels of the webgpu backend, by the name of their op.
import { DECLINED, type Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { fill } from "./kernels/fill.js";
import { cast } from "./kernels/cast.js";
import { permute } from "./kernels/permute.js";
import { slice } from "./kernels/slice.js";
import { writeSlice } from "./kernels/write-slice.js";
import { unary } from "./kernels/unary.js";
import { binary } from "./kernels/binary.js";
import { dequantize } from "./kernels/dequantize.js";
import { gatherRows } from "./kernels/gather-rows.js";
import { matmul } from "./kernels/matmul.js";
import { quantize } from "./kernels/quantize.js";
import { reduce } from "./kernels/reduce.js";
import { scan } from "./kernels/scan.js";
import { scatterRows } from "./kernels/scatter-rows.js";
import { topK } from "./kernels/top-k.js";
import { select } from "./kernels/select.js";
import { rmsNorm } from "./kernels/rms-norm.js";
import { rope } from "./kernels/rope.js";
import { qkNormRope } from "./kernels/qk-norm-rope.js";
import { appendKV } from "./kernels/append-kv.js";
import { attention } from "./kernels/attention.js";
import { attentionGrad } from "./kernels/attention-grad.js";

type AnyKernel = (inputs: unknown, outputs: unknown, attrs: unknown) => void | typeof DECLINED;

/** The kernels, and the names of the ops of which calls were declined so far. */
export function kernelsOf(engine: Engine): { readonly kernels: Kernels; readonly declined: ReadonlySet<string> } {
  const plain = {
    fill: fill(engine),
    cast: cast(engine),
    permute: permute(engine),
    slice: slice(engine),
    writeSlice: writeSlice(engine),
    unary: unary(engine),
    binary: binary(engine),
    select: select(engine),
    gatherRows: gatherRows(engine),
    scatterRows: scatterRows(engine),
    reduce: reduce(engine),
    scan: scan(engine),
    topK: topK(engine),
    matmul: matmul(engine),
    quantize: quantize(engine),
    dequantize: dequantize(engine),
    rmsNorm: rmsNorm(engine),
    rope: rope(engine),
    qkNormRope: qkNormRope(engine),
    appendKV: appendKV(engine),
    attention: attention(engine),
    attentionGrad: attentionGrad(engine),
  } satisfies Partial<Kernels>;
  const declined = new Set<string>();
  const kernels: Record<string, AnyKernel> = {};
  for (const [op, kernel] of Object.entries(plain) as [string, AnyKernel][]) {
    kernels[op] = (inputs, outputs, attrs) =>
      engine.during(op, () => {
        const result = kernel(inputs, outputs, attrs);
        if (result === DECLINED) declined.add(op);
        return result;
      });
  }
  return { kernels: kernels as unknown as Kernels, declined };
}
