// Small Qwen3 models, dense and with experts, that `saveGguf` writes in every type of GGUF: what llama.cpp is to read as we do.
import {
  allParameters,
  configToJson,
  noExperts,
  Qwen3,
  Random,
  randomWeights,
  Tensor,
  disposeAll,
  type Backend,
  type Qwen3Config,
} from "qwen-blocks";
import { saveGguf, type MetadataValue } from "qwen-blocks/io";
import { packModel } from "qwen-blocks/quant";

const dense: Qwen3Config = {
  vocabSize: 64,
  hiddenSize: 256, // what K-quants need
  intermediateSize: 512,
  numHiddenLayers: 2,
  numAttentionHeads: 8,
  numKeyValueHeads: 2,
  headDim: 32,
  maxPositionEmbeddings: 512,
  rmsNormEps: 1e-6,
  initializerRange: 0.1,
  tieWordEmbeddings: false,
  attentionBias: false,
  rope: { ropeType: "default", ropeTheta: 1e6 },
  ...noExperts,
};
const sparse: Qwen3Config = {
  ...dense,
  tieWordEmbeddings: true,
  numExperts: 8,
  numExpertsPerTok: 2,
  moeIntermediateSize: 256,
  normTopkProb: true,
  decoderSparseStep: 1,
  routerAuxLossCoef: 0.001,
};
const linear: Qwen3Config = { ...dense, rope: { ropeType: "linear", ropeTheta: 1e4, factor: 3 } };
const yarn: Qwen3Config = {
  ...dense,
  rope: { ropeType: "yarn", ropeTheta: 1e4, factor: 4, originalMaxPositionEmbeddings: 64 },
};
export const writtenConfigs: Readonly<Record<string, Qwen3Config>> = { dense, sparse, linear, yarn };

export const packedTypes: readonly string[] = "f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k iq4_nl mxfp4".split(
  " ",
);

/** Tokens that no text has. llama.cpp does without a tokenizer; node-llama-cpp tokenises as it opens a file. */
const tokenizer = (vocabSize: number): ReadonlyMap<string, MetadataValue> =>
  new Map<string, MetadataValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "qwen2"],
    ["tokenizer.ggml.tokens", Array.from({ length: vocabSize }, (_, id) => `<${id}>`)],
    ["tokenizer.ggml.token_type", new Int32Array(vocabSize).fill(1)],
    ["tokenizer.ggml.merges", ["< 0"]],
    ["tokenizer.ggml.bos_token_id", 0],
    ["tokenizer.ggml.eos_token_id", 1],
  ]);

/** @param type of matrices: "f32", or the scheme that they are packed by first */
export async function writeGguf(backend: Backend, config: Qwen3Config, type: string, path: string): Promise<void> {
  const model = new Qwen3(randomWeights(backend, 3, config), config);
  const random = new Random(5);
  // Norms of ones could be confused with each other, and nobody would see.
  for (const parameter of allParameters(model).values())
    if (parameter instanceof Tensor && parameter.shape.length === 1)
      parameter.write(Float32Array.from({ length: parameter.size }, () => 1 + 0.2 * random.normal()));
  if (type !== "f32") await packModel(model, { scheme: type });
  await saveGguf(path, model, configToJson(config), { dtype: "f32", metadata: tokenizer(config.vocabSize) });
  disposeAll(model);
}
