// The public names of `qwen-blocks`: blocks, ops, tensors, autograd and models. No logic.
export * from "./core/errors.js";
export { Random, type RandomState } from "./core/random.js";
export type { DType, Elements } from "./core/dtype.js";
export type { Shape } from "./core/shape.js";
export {
  isPackedView,
  type Attr,
  type Matrix,
  type Op,
  type Operand,
  type PackedView,
  type SchemeName,
  type Storage,
  type View,
} from "./core/view.js";
export * from "./backends/backend.js";
export { observe, type KernelCalls, type Observed, type ObserveOptions } from "./backends/observe.js";

export { Tensor } from "./tensor/tensor.js";
export { PackedTensor } from "./tensor/packed-tensor.js";
export { keep, scope } from "./tensor/scope.js";
export { randn, tensor } from "./tensor/create.js";
export { record, type Recording } from "./tensor/record.js";
export { trace, type Trace, type TraceChoice, type TraceLine } from "./tensor/trace.js";
export { setDevelopment } from "./tensor/development.js";
export type { Means } from "./tensor/ambient.js";
export { dispatch } from "./tensor/dispatch.js";
export type { Attrs, Call, Each, Handle, Handles, In, OpDef, Out, Spec } from "./tensor/op.js";
export * from "./ops/index.js";

export { checkpoint } from "./autograd/checkpoint.js";
export { valueAndGrad, type Loss } from "./autograd/value-and-grad.js";

export * from "./routing/router.js";
export { CapacityRouter, type CapacityOptions, type FollowOptions } from "./routing/capacity-router.js";
export { ExpertChoiceRouter, type ExpertChoiceRouterOptions } from "./routing/expert-choice-router.js";
export { NoisyRouter, type NoiseOptions } from "./routing/noisy-router.js";
export { SigmoidRouter, type BiasUpdateOptions, type SigmoidRouterOptions } from "./routing/sigmoid-router.js";
export { TopPRouter, type SteerOptions, type TopPRouterOptions } from "./routing/top-p-router.js";
export { TopKRouter, type TopKRouterOptions } from "./routing/top-k-router.js";
export type { GroupLimit } from "./routing/group-limited.js";
export type { Routings } from "./routing/routings.js";
export { loadBalancingLoss, type BalanceOptions } from "./routing/balance.js";
export { importanceLoss, routerEntropyLoss, routerZLoss, type RouterLossOptions } from "./routing/router-losses.js";
export {
  RoutingHistory,
  type RoutingCurve,
  type RoutingRecord,
  type RoutingSeries,
} from "./routing/routing-history.js";
export { routingStatistics, type RoutingStatistics } from "./routing/routing-statistics.js";

export {
  allParameters,
  disposeAll,
  parameters,
  readInput,
  readMatrix,
  setActivations,
  type ActivationRounding,
  type Layer,
  type Parameter,
  type Roundings,
} from "./layers/layer.js";
export { randomWeights, weightsFrom, type Init, type RandomWeightsOptions, type Weights } from "./layers/weights.js";
export { Embedding, type EmbeddingOptions } from "./layers/embedding.js";
export { Linear, type LinearOptions } from "./layers/linear.js";
export { RmsNorm, type RmsNormOptions } from "./layers/rms-norm.js";
export { SwigluMlp, type SwigluMlpOptions } from "./layers/swiglu-mlp.js";
export { Experts, type ExpertsOptions } from "./layers/experts.js";
export type { MixtureOptions, MixtureParts, MoEForwardOptions, MoEOutput } from "./layers/mixture.js";
export type { ExpertGroup, GroupCall } from "./layers/expert-group.js";
export {
  ConstantExperts,
  IdentityExperts,
  ZeroExperts,
  type ConstantExpertsOptions,
  type CostlessExpertsOptions,
} from "./layers/costless-experts.js";
export { LayerExpert, type LayerExpertOptions } from "./layers/layer-expert.js";
export { ExpertMixture, type ExpertMixtureOptions } from "./layers/expert-mixture.js";
export { MoELayer, type MoELayerOptions } from "./layers/moe-layer.js";

export { Attention, type AttentionContext } from "./attention/attention.js";
export type { AttentionOptions } from "./attention/attention-options.js";
export { attentionFunctions, type AttentionFunction } from "./attention/functions.js";
export {
  sequencePositions,
  stepWithoutCache,
  type Positions,
  type SequenceOptions,
  type Step,
} from "./attention/positions.js";
export { chunkPositions, packedPositions, type PackedOptions } from "./attention/segments.js";
export { markGlobal, paragraphTokens, type ParagraphOptions } from "./attention/global-tokens.js";
export type {
  DefaultRopeOptions,
  DynamicRopeOptions,
  LinearRopeOptions,
  Llama3RopeOptions,
  LongropeRopeOptions,
  ProportionalRopeOptions,
  RopeOptions,
  RopeType,
  YarnRopeOptions,
} from "./attention/rope/rope-options.js";
export { ropeFrequencies, ropeTable } from "./attention/rope/frequencies.js";
export type { RopeFrequencies } from "./attention/rope/default.js";
export { mropeTable } from "./attention/rope/mrope.js";
export { Rope, type TableNeeds } from "./attention/rope/rope.js";
export type { KVCache, Pool } from "./attention/cache/kv-cache.js";
export type { CacheOptions } from "./attention/cache/slot-cache.js";
export type { PoolOptions } from "./attention/cache/pools.js";
export { DenseCache, type DenseCacheOptions } from "./attention/cache/dense.js";
export { RingCache, type RingCacheOptions } from "./attention/cache/ring.js";
export { PagedCache, type PagedCacheOptions } from "./attention/cache/paged.js";

export {
  DecoderBlock,
  type DecoderBlockContext,
  type NormedStream,
  type DecoderBlockOptions,
  type FeedForward,
} from "./models/decoder-block.js";
export { DecodeStep } from "./models/decode-step.js";
export type { Decoder } from "./models/decoder.js";
export type { CacheKind, CacheKinds, MakeCacheOptions } from "./models/cache-kinds.js";
export { Qwen3, type ForwardOptions, type Qwen3Options, type TokenIds } from "./models/qwen3.js";
export {
  checkConfig,
  isSparseLayer,
  noExperts,
  windowOf,
  type ExpertFields,
  type LayerType,
  type Qwen3Config,
} from "./models/qwen3-config.js";
export { configFromJson, configToJson } from "./models/config-json.js";
export { presets, type PresetName } from "./models/presets.js";
export { scaleConfig } from "./models/scale-config.js";
export { countParameters, type ModelParameterCount, type ParameterCount } from "./models/count-parameters.js";
export { estimateMemory, type MemoryEstimate, type MemoryOptions } from "./models/estimate-memory.js";
export { generate, type GenerateOptions } from "./models/generate.js";
export { checkSampling, rankRow, sampleFrom, type Candidates, type SamplingOptions } from "./models/sample.js";
