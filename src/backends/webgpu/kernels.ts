// All kernels of the webgpu backend, by the name of their op.
import { DECLINED, type Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { adamW } from "./kernels/adam-w.js";
import { addRmsNorm } from "./kernels/add-rms-norm.js";
import { appendKV } from "./kernels/append-kv.js";
import { attention } from "./kernels/attention.js";
import { attentionGrad } from "./kernels/attention-grad.js";
import { binary } from "./kernels/binary.js";
import { cast } from "./kernels/cast.js";
import { combineExperts } from "./kernels/combine-experts.js";
import { crossEntropy } from "./kernels/cross-entropy.js";
import { crossEntropyGrad } from "./kernels/cross-entropy-grad.js";
import { dequantize } from "./kernels/dequantize.js";
import { expertLinear } from "./kernels/expert-linear.js";
import { expertLinearGrad } from "./kernels/expert-linear-grad.js";
import { expertMlp } from "./kernels/expert-mlp.js";
import { fill } from "./kernels/fill.js";
import { gatherRows } from "./kernels/gather-rows.js";
import { groupByExpert } from "./kernels/group-by-expert.js";
import { linear } from "./kernels/linear.js";
import { linearGrad } from "./kernels/linear-grad.js";
import { matmul } from "./kernels/matmul.js";
import { permute } from "./kernels/permute.js";
import { qkNormRope } from "./kernels/qk-norm-rope.js";
import { quantize } from "./kernels/quantize.js";
import { reduce } from "./kernels/reduce.js";
import { rmsNorm } from "./kernels/rms-norm.js";
import { rmsNormGrad } from "./kernels/rms-norm-grad.js";
import { rope } from "./kernels/rope.js";
import { route } from "./kernels/route.js";
import { scan } from "./kernels/scan.js";
import { scatterRows } from "./kernels/scatter-rows.js";
import { select } from "./kernels/select.js";
import { slice } from "./kernels/slice.js";
import { softmax } from "./kernels/softmax.js";
import { swiglu } from "./kernels/swiglu.js";
import { swigluGrad } from "./kernels/swiglu-grad.js";
import { topK } from "./kernels/top-k.js";
import { unary } from "./kernels/unary.js";
import { writeSlice } from "./kernels/write-slice.js";

type AnyKernel = (inputs: unknown, outputs: unknown, attrs: unknown) => void | typeof DECLINED;

/** The kernels, and the names of the ops of which calls were declined so far. */
export function kernelsOf(engine: Engine): { readonly kernels: Kernels; readonly declined: ReadonlySet<string> } {
  const plain = {
    fill: fill(engine),
    cast: cast(engine),
    permute: permute(engine),
    slice: slice(engine),
    writeSlice: writeSlice(engine),
    gatherRows: gatherRows(engine),
    scatterRows: scatterRows(engine),
    unary: unary(engine),
    binary: binary(engine),
    select: select(engine),
    reduce: reduce(engine),
    scan: scan(engine),
    topK: topK(engine),
    matmul: matmul(engine),
    quantize: quantize(engine),
    dequantize: dequantize(engine),
    linear: linear(engine),
    rmsNorm: rmsNorm(engine),
    addRmsNorm: addRmsNorm(engine),
    softmax: softmax(engine),
    swiglu: swiglu(engine),
    rope: rope(engine),
    qkNormRope: qkNormRope(engine),
    appendKV: appendKV(engine),
    attention: attention(engine),
    route: route(engine),
    groupByExpert: groupByExpert(engine),
    expertLinear: expertLinear(engine),
    combineExperts: combineExperts(engine),
    expertMlp: expertMlp(engine),
    crossEntropy: crossEntropy(engine),
    adamW: adamW(engine),
    linearGrad: linearGrad(engine),
    rmsNormGrad: rmsNormGrad(engine),
    swigluGrad: swigluGrad(engine),
    attentionGrad: attentionGrad(engine),
    expertLinearGrad: expertLinearGrad(engine),
    crossEntropyGrad: crossEntropyGrad(engine),
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
