// All cases by name: an op, or an op and a part of its meaning that is judged apart.
import type fc from "fast-check";
import type { Features, OpName } from "../backends/backend.js";
import type { DrawnCall } from "./arbitraries.js";
import { adamWCase } from "./cases/adam-w.js";
import { addRmsNormCase } from "./cases/add-rms-norm.js";
import { appendKVCase } from "./cases/append-kv.js";
import { attentionCase } from "./cases/attention.js";
import { attentionGradCase } from "./cases/attention-grad.js";
import { binaryCase, binaryOps, binarySpecialCase } from "./cases/binary.js";
import { castCase, castSpecialCase } from "./cases/cast.js";
import { combineExpertsCase } from "./cases/combine-experts.js";
import { crossEntropyCase } from "./cases/cross-entropy.js";
import { crossEntropyGradCase } from "./cases/cross-entropy-grad.js";
import { dequantizeCase } from "./cases/dequantize.js";
import { expertLinearCase } from "./cases/expert-linear.js";
import { expertLinearGradCase } from "./cases/expert-linear-grad.js";
import { expertMlpCase } from "./cases/expert-mlp.js";
import { fillCase } from "./cases/fill.js";
import { gatherRowsCase } from "./cases/gather-rows.js";
import { groupByExpertCase } from "./cases/group-by-expert.js";
import { linearCase } from "./cases/linear.js";
import { linearGradCase } from "./cases/linear-grad.js";
import { matmulCase } from "./cases/matmul.js";
import { permuteCase } from "./cases/permute.js";
import { qkNormRopeCase } from "./cases/qk-norm-rope.js";
import { quantizeCase, quantizeSpecialCase } from "./cases/quantize.js";
import { reduceCase, reduceSpecialCase, reductions } from "./cases/reduce.js";
import { repackCase } from "./cases/repack.js";
import { rmsNormCase } from "./cases/rms-norm.js";
import { rmsNormGradCase } from "./cases/rms-norm-grad.js";
import { ropeCase } from "./cases/rope.js";
import { routeCase } from "./cases/route.js";
import { scanCase } from "./cases/scan.js";
import { scatterRowsCase } from "./cases/scatter-rows.js";
import { selectCase } from "./cases/select.js";
import { sliceCase } from "./cases/slice.js";
import { softmaxCase } from "./cases/softmax.js";
import { swigluCase } from "./cases/swiglu.js";
import { swigluGradCase } from "./cases/swiglu-grad.js";
import { topKCase, topKNanCase, topKSortCase } from "./cases/top-k.js";
import { unaryCase, unaryOps, unarySpecialCase } from "./cases/unary.js";
import { writeSliceCase } from "./cases/write-slice.js";

export interface CaseMaker {
  readonly op: OpName;
  /** What is drawn may depend on what the backend lists: schemes to encode, the meaning of NaN. */
  readonly calls: (features: Features) => fc.Arbitrary<DrawnCall>;
  /** NaN and infinities: where these mean nothing, only what does not concern numbers is checked. */
  readonly special?: boolean;
  /** Whether what is called may do without the op's kernel. */
  readonly composite?: boolean;
}

/** Ops that are one case each; the others are a case per function. */
const ops: { readonly [K in Exclude<OpName, "unary" | "binary" | "reduce">]: CaseMaker["calls"] } = {
  fill: fillCase,
  cast: castCase,
  permute: permuteCase,
  slice: sliceCase,
  writeSlice: writeSliceCase,
  gatherRows: gatherRowsCase,
  scatterRows: scatterRowsCase,
  select: selectCase,
  scan: scanCase,
  topK: topKCase,
  matmul: matmulCase,
  quantize: quantizeCase,
  dequantize: dequantizeCase,
  linear: linearCase,
  rmsNorm: rmsNormCase,
  addRmsNorm: addRmsNormCase,
  softmax: softmaxCase,
  swiglu: swigluCase,
  rope: ropeCase,
  qkNormRope: qkNormRopeCase,
  appendKV: appendKVCase,
  attention: attentionCase,
  route: routeCase,
  groupByExpert: groupByExpertCase,
  expertLinear: expertLinearCase,
  combineExperts: combineExpertsCase,
  expertMlp: expertMlpCase,
  crossEntropy: crossEntropyCase,
  repack: repackCase,
  adamW: adamWCase,
  linearGrad: linearGradCase,
  rmsNormGrad: rmsNormGradCase,
  swigluGrad: swigluGradCase,
  attentionGrad: attentionGradCase,
  expertLinearGrad: expertLinearGradCase,
  crossEntropyGrad: crossEntropyGradCase,
};

/** Parts of an op's meaning that its own draws seldom reach. */
const parts: Readonly<Record<string, CaseMaker>> = {
  "cast/special": { op: "cast", calls: castSpecialCase, special: true },
  "unary/special": { op: "unary", calls: unarySpecialCase, special: true },
  "binary/special": { op: "binary", calls: binarySpecialCase, special: true },
  "reduce/special": { op: "reduce", calls: reduceSpecialCase, special: true },
  "topK/sort": { op: "topK", calls: topKSortCase },
  "topK/nan": { op: "topK", calls: topKNanCase, special: true },
  "quantize/special": { op: "quantize", calls: quantizeSpecialCase, special: true },
};

const named = <K extends string>(
  op: OpName,
  parts: readonly K[],
  calls: (part: K) => fc.Arbitrary<DrawnCall>,
): [string, CaseMaker][] => parts.map((part) => [`${op}/${part}`, { op, calls: () => calls(part) }]);

/** Every case by its name: the ops of the contract, and those with NaN and infinities. */
export const everyCase: ReadonlyMap<string, CaseMaker> = /* @__PURE__ */ new Map<string, CaseMaker>([
  ...(Object.entries(ops) as [OpName, CaseMaker["calls"]][]).map(([op, calls]): [string, CaseMaker] => [
    op,
    { op, calls },
  ]),
  ...named("unary", unaryOps, unaryCase),
  ...named("binary", binaryOps, binaryCase),
  ...named("reduce", reductions, reduceCase),
  ...Object.entries(parts),
]);
