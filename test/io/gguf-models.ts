// GGUF files of whole small models, dense and with experts, as llama.cpp's converter writes them: what the tests of checkpoints read.
import type { Backend } from "../../src/backends/backend.js";
import { allParameters, disposeAll } from "../../src/layers/layer.js";
import { randomWeights } from "../../src/layers/weights.js";
import { noExperts, type Qwen3Config } from "../../src/models/qwen3-config.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { encoded, ggufFile, value, type BuiltTensor, type TensorType } from "./gguf-building.js";

type Bytes = Uint8Array<ArrayBuffer>;
export type Metadata = Readonly<Record<string, Bytes>>;

export const dense: Qwen3Config = {
  vocabSize: 40,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 32,
  maxPositionEmbeddings: 128,
  rmsNormEps: 1e-6,
  initializerRange: 0.02,
  tieWordEmbeddings: false,
  attentionBias: false,
  rope: { ropeType: "default", ropeTheta: 1e6 },
  ...noExperts,
};
export const sparse: Qwen3Config = {
  ...dense,
  tieWordEmbeddings: true,
  numExperts: 4,
  numExpertsPerTok: 2,
  moeIntermediateSize: 32,
  normTopkProb: true,
  decoderSparseStep: 1,
  routerAuxLossCoef: 0.001,
};

/** What llama.cpp's converter writes for such a model. */
export function metadataOf(config: Qwen3Config): Metadata {
  const arch = config.numExperts > 0 ? "qwen3moe" : "qwen3";
  const numbers: Record<string, number> = {
    block_count: config.numHiddenLayers,
    context_length: config.maxPositionEmbeddings,
    embedding_length: config.hiddenSize,
    feed_forward_length: config.intermediateSize,
    "attention.head_count": config.numAttentionHeads,
    "attention.head_count_kv": config.numKeyValueHeads,
    "attention.key_length": config.headDim,
    "attention.value_length": config.headDim,
  };
  if (config.numExperts > 0) {
    numbers.expert_count = config.numExperts;
    numbers.expert_used_count = config.numExpertsPerTok;
    numbers.expert_feed_forward_length = config.moeIntermediateSize;
  }
  return {
    "general.architecture": value.string(arch),
    ...Object.fromEntries(Object.entries(numbers).map(([key, number]) => [`${arch}.${key}`, value.u32(number)])),
    [`${arch}.rope.freq_base`]: value.f32(config.rope.ropeTheta),
    [`${arch}.attention.layer_norm_rms_epsilon`]: value.f32(config.rmsNormEps),
  };
}

/** Which type each tensor of the file has, by its name there. */
export type TypeOf = (name: string) => TensorType;

/** The tensors of a model under llama.cpp's names, cut out of the merged matrices by hand. */
async function tensorsOf(model: Qwen3, typeOf: TypeOf): Promise<BuiltTensor[]> {
  const { numAttentionHeads, numKeyValueHeads, headDim, numExperts } = model.config;
  const built: BuiltTensor[] = [];
  const add = (name: string, shape: readonly number[], x: Float32Array<ArrayBuffer>): number =>
    built.push({ name, type: typeOf(name), shape, bytes: encoded(typeOf(name), x) });
  const rows = (names: Readonly<Record<string, number>>, width: number, x: Float32Array<ArrayBuffer>): void => {
    let at = 0;
    for (const [name, count] of Object.entries(names)) add(name, [count, width], x.slice(at, (at += count * width)));
  };
  for (const [path, tensor] of allParameters(model)) {
    const x = (await (tensor as Tensor).data()) as Float32Array<ArrayBuffer>;
    const { shape } = tensor;
    const [, layer, field] = /^layers\.(\d+)\.(.*)$/.exec(path) ?? [];
    const at = `blk.${layer}.`;
    const kv = numKeyValueHeads * headDim;
    if (field === undefined) {
      const whole = { "embedTokens.weight": "token_embd", "norm.weight": "output_norm", "lmHead.weight": "output" };
      add(`${whole[path as keyof typeof whole]}.weight`, shape, x);
    } else if (field === "selfAttn.qkvProj.weight") {
      const q = numAttentionHeads * headDim;
      rows({ [`${at}attn_q.weight`]: q, [`${at}attn_k.weight`]: kv, [`${at}attn_v.weight`]: kv }, shape[1], x);
    } else if (field === "mlp.gateUpProj.weight") {
      rows({ [`${at}ffn_gate.weight`]: shape[0] / 2, [`${at}ffn_up.weight`]: shape[0] / 2 }, shape[1], x);
    } else if (field === "mlp.experts.gateUpProj") {
      const half = (shape[1] / 2) * shape[2];
      const every = (from: number): Float32Array<ArrayBuffer> =>
        Float32Array.from(
          Array.from({ length: numExperts }, (_, e) => [
            ...x.slice((2 * e + from) * half, (2 * e + from + 1) * half),
          ]).flat(),
        );
      add(`${at}ffn_gate_exps.weight`, [numExperts, shape[1] / 2, shape[2]], every(0));
      add(`${at}ffn_up_exps.weight`, [numExperts, shape[1] / 2, shape[2]], every(1));
    } else {
      const names: Readonly<Record<string, string>> = {
        "inputLayernorm.weight": "attn_norm",
        "postAttentionLayernorm.weight": "ffn_norm",
        "selfAttn.qNorm.weight": "attn_q_norm",
        "selfAttn.kNorm.weight": "attn_k_norm",
        "selfAttn.oProj.weight": "attn_output",
        "mlp.downProj.weight": "ffn_down",
        "mlp.gate.weight": "ffn_gate_inp",
        "mlp.experts.downProj": "ffn_down_exps",
      };
      add(`${at}${names[field]}.weight`, shape, x);
    }
  }
  return built;
}

export const plainly: TypeOf = () => "F32";
export async function fileOf(
  backend: Backend,
  config: Qwen3Config,
  typeOf: TypeOf = plainly,
  more: Metadata = {},
): Promise<Bytes> {
  return withModel(backend, config, async (model) =>
    ggufFile({ metadata: { ...metadataOf(config), ...more }, tensors: await tensorsOf(model, typeOf) }),
  );
}

export async function withModel<T>(
  backend: Backend,
  config: Qwen3Config,
  use: (model: Qwen3) => Promise<T>,
): Promise<T> {
  const model = new Qwen3(randomWeights(backend, 7), structuredClone(config));
  try {
    return await use(model);
  } finally {
    disposeAll(model);
  }
}
