// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { linear } from "./kernels/linear.js";
import { linearGrad } from "./kernels/linear-grad.js";
import { adamW } from "./kernels/adam-w.js";
import { addRmsNorm } from "./kernels/add-rms-norm.js";
import { crossEntropy } from "./kernels/cross-entropy.js";
import { crossEntropyGrad } from "./kernels/cross-entropy-grad.js";
import { matmul } from "./kernels/matmul.js";
import { rmsNorm } from "./kernels/rms-norm.js";
import { rmsNormGrad } from "./kernels/rms-norm-grad.js";
import { softmax } from "./kernels/softmax.js";
import { swiglu } from "./kernels/swiglu.js";
import { swigluGrad } from "./kernels/swiglu-grad.js";
import { unary } from "./kernels/unary.js";
import { appendKV } from "./kernels/append-kv.js";
import { attention } from "./kernels/attention.js";
import { attentionGrad } from "./kernels/attention-grad.js";
import { matmul } from "./kernels/matmul.js";
import { qkNormRope } from "./kernels/qk-norm-rope.js";
import { rope } from "./kernels/rope.js";
import { combineExperts } from "./kernels/combine-experts.js";
import { expertLinear } from "./kernels/expert-linear.js";
import { expertLinearGrad } from "./kernels/expert-linear-grad.js";
import { expertMlp } from "./kernels/expert-mlp.js";
import { groupByExpert } from "./kernels/group-by-expert.js";
import { route } from "./kernels/route.js";
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
    unary: unary(engine),
    matmul: matmul(engine),
    linear: linear(engine),
    linearGrad: linearGrad(engine),
    rmsNorm: rmsNorm(engine),
    addRmsNorm: addRmsNorm(engine),
    softmax: softmax(engine),
    swiglu: swiglu(engine),
    crossEntropy: crossEntropy(engine),
    adamW: adamW(engine),
    rmsNormGrad: rmsNormGrad(engine),
    swigluGrad: swigluGrad(engine),
    crossEntropyGrad: crossEntropyGrad(engine),
    attentionGrad: attentionGrad(engine),
    attention: attention(engine),
    appendKV: appendKV(engine),
    qkNormRope: qkNormRope(engine),
    rope: rope(engine),
    route: route(engine),
    groupByExpert: groupByExpert(engine),
    expertLinear: expertLinear(engine),
    combineExperts: combineExperts(engine),
    expertMlp: expertMlp(engine),
    expertLinearGrad: expertLinearGrad(engine),
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
    quantize: quantize(engine),
    dequantize: dequantize(engine),
  };
}
