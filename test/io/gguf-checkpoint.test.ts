// A GGUF file as a checkpoint: its config, its names, and a model that loads packed and computes what the same weights quantised here compute.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { CheckpointError, ConfigError, FormatError } from "../../src/core/errors.js";
import { openCheckpoint, type Checkpoint } from "../../src/io/checkpoint.js";
import { loadModel, type LoadOptions } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import type { Source } from "../../src/io/source.js";
import { allParameters, disposeAll, setActivations } from "../../src/layers/layer.js";
import type { Linear } from "../../src/layers/linear.js";
import { randomWeights, weightsFrom, type Weights } from "../../src/layers/weights.js";
import { configFromJson } from "../../src/models/config-json.js";
import { noExperts, type Qwen3Config } from "../../src/models/qwen3-config.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import { quantize } from "../../src/ops/quantize.js";
import { schemes } from "../../src/quant/schemes/schemes.js";
import type { PackedTensor } from "../../src/tensor/packed-tensor.js";
import { scope } from "../../src/tensor/scope.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { encoded, ggufFile, value, type BuiltTensor, type TensorType } from "./gguf-building.js";

type Bytes = Uint8Array<ArrayBuffer>;
type Metadata = Readonly<Record<string, Bytes>>;

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

const dense: Qwen3Config = {
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
const sparse: Qwen3Config = {
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
function metadataOf(config: Qwen3Config): Metadata {
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
type TypeOf = (name: string) => TensorType;

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

const plainly: TypeOf = () => "F32";
/** As llama.cpp quantises: norms and routers stay F32. */
const all =
  (type: TensorType): TypeOf =>
  (name) =>
    /norm|gate_inp/.test(name) ? "F32" : type;

async function fileOf(config: Qwen3Config, typeOf: TypeOf = plainly, more: Metadata = {}): Promise<Bytes> {
  const model = new Qwen3(randomWeights(backend, 7), config);
  const file = ggufFile({ metadata: { ...metadataOf(config), ...more }, tensors: await tensorsOf(model, typeOf) });
  disposeAll(model);
  return file;
}

async function load(file: Bytes | Source, options: LoadOptions = {}): Promise<Qwen3> {
  const checkpoint = await openCheckpoint(file);
  const config = configFromJson(checkpoint.config);
  return loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config), ...options });
}

async function logitsOf(model: Qwen3): Promise<Float32Array> {
  const logits = scope(() => model.forward([[1, 2, 39, 5, 7]]));
  const data = (await logits.data()) as Float32Array;
  logits.dispose();
  disposeAll(model);
  return data;
}

describe("config", () => {
  const configOf = async (file: Bytes): Promise<Qwen3Config> => configFromJson((await openCheckpoint(file)).config);

  test("dense and sparse; decimals as they were meant", async () => {
    expect(await configOf(await fileOf(dense))).toEqual(dense);
    expect(await configOf(await fileOf(sparse))).toEqual(sparse);
  });

  test("the tokenizer stays readable, and its ids are in the config", async () => {
    const ids = { bos: 1, eos: 2, padding: 3 };
    const more = Object.fromEntries(
      Object.entries(ids).map(([id, i]) => [`tokenizer.ggml.${id}_token_id`, value.u32(i)]),
    );
    const checkpoint = await openCheckpoint(await fileOf(dense, plainly, more));
    expect(configFromJson(checkpoint.config)).toMatchObject({ bosTokenId: 1, eosTokenId: 2, padTokenId: 3 });
    expect(checkpoint.metadata.get("tokenizer.ggml.eos_token_id")).toBe(2);
  });

  test("YaRN and linear scaling", async () => {
    const key = (name: string): string => `qwen3.rope.scaling.${name}`;
    const factor = { [key("factor")]: value.f32(4), [key("finetuned")]: value.bool(1) };
    const linear = { [key("type")]: value.string("linear"), ...factor };
    expect((await configOf(await fileOf(dense, plainly, linear))).rope).toEqual({
      ropeType: "linear",
      ropeTheta: 1e6,
      factor: 4,
    });
    const yarn = {
      [key("type")]: value.string("yarn"),
      ...factor,
      [key("original_context_length")]: value.u32(64),
      [key("yarn_beta_slow")]: value.f32(1.1),
      [key("yarn_ext_factor")]: value.f32(1),
    };
    const rope = { ropeType: "yarn", ropeTheta: 1e6, factor: 4, originalMaxPositionEmbeddings: 64, betaSlow: 1.1 };
    expect((await configOf(await fileOf(dense, plainly, yarn))).rope).toEqual(rope);
    const other = { ...yarn, [key("attn_factor")]: value.f32(2) };
    await expect(configOf(await fileOf(dense, plainly, other))).rejects.toThrow("qwen3.rope.scaling.attn_factor");
  });

  test.each([
    ["another architecture", { "general.architecture": value.string("llama") }, CheckpointError, 'got "llama"'],
    ["a part of several files", { "split.count": value.u32(2) }, CheckpointError, "merge them"],
    ["a key of another kind", { "qwen3.block_count": value.string("2") }, FormatError, 'must be a number, got "2"'],
    [
      "lists per layer",
      { "qwen3.block_count": value.array(4, []) },
      FormatError,
      "must be a number, got an array of 0",
    ],
    ["values as wide as no key", { "qwen3.attention.value_length": value.u32(64) }, FormatError, "width 32, got 64"],
    ["a partial rotation", { "qwen3.rope.dimension_count": value.u32(16) }, FormatError, "width 32, got 16"],
    ["a key that is not known", { "qwen3.attention.sliding_window": value.u32(4) }, ConfigError, "sliding_window"],
  ])("refused: %s", async (_, more, type, message) => {
    const failure = configOf(await fileOf(dense, plainly, more));
    await expect(failure).rejects.toThrow(type);
    await expect(failure).rejects.toThrow(message);
  });

  test("refused: a key that is missing", async () => {
    const metadata = Object.entries(metadataOf(dense)).filter(([key]) => !key.endsWith("head_count_kv"));
    const file = ggufFile({ metadata: Object.fromEntries(metadata) });
    await expect(openCheckpoint(file)).rejects.toThrow('"qwen3.attention.head_count_kv" must be given');
  });
});

describe("loading", () => {
  /** The random model with every matrix but the routers packed by the scheme: what the file must amount to. */
  const packedHere = (config: Qwen3Config, scheme: string): Qwen3 => {
    const random = randomWeights(backend, 7);
    const take: Parameters<typeof weightsFrom>[1] = (path, shape, init) => {
      const at = path.lastIndexOf(".");
      const fields = path.slice(0, at).split(".");
      const plain = fields.reduce((w: Weights, field) => w.at(field), random).take(path.slice(at + 1), shape, init);
      if (init !== "normal" || path.endsWith("gate.weight")) return plain;
      const packed = quantize(plain as Tensor, schemes[scheme]);
      plain.dispose();
      return packed;
    };
    return new Qwen3(weightsFrom(backend, take), config);
  };

  for (const [name, config] of Object.entries({ dense, sparse })) {
    test.each(["Q8_0", "Q4_0"] as const)(`${name} in %s: the same bits as the weights packed here`, async (type) => {
      const model = await load(await fileOf(config, all(type)));
      for (const [path, parameter] of allParameters(model)) {
        const expected = /orm\.weight$|gate\.weight$/.test(path) ? "f32" : type.toLowerCase();
        expect(`${path} ${parameter.toString().replace(/\[.*/, "")}`).toBe(`${path} ${expected}`);
      }
      expect(await logitsOf(model)).toEqual(await logitsOf(packedHere(config, type.toLowerCase())));
    });

    test(`${name} in F32: the same bits as the model it was made of`, async () => {
      const model = await load(await fileOf(config));
      expect(await logitsOf(model)).toEqual(await logitsOf(new Qwen3(randomWeights(backend, 7), config)));
    });
  }

  test.each(["BF16", "F16"] as const)("%s stays packed; norms and routers in it become f32", async (type) => {
    const file = await fileOf(sparse, () => type);
    const model = await load(file);
    const parameters = allParameters(model);
    expect((parameters.get("embedTokens.weight") as PackedTensor).scheme.name).toBe(type.toLowerCase());
    expect(parameters.get("layers.1.mlp.gate.weight")).toBeInstanceOf(Tensor);
    expect(parameters.get("norm.weight")).toBeInstanceOf(Tensor);
    expect(await logitsOf(model)).toEqual(await logitsOf(await load(file, { weights: "f32" })));
  });

  test("as f32 on request: the numbers that the packed model has", async () => {
    const file = await fileOf(sparse, all("Q4_0"));
    const model = await load(file, { weights: "f32" });
    expect([...allParameters(model).values()].every((parameter) => parameter instanceof Tensor)).toBe(true);
    expect(await logitsOf(model)).toEqual(await logitsOf(await load(file)));
  });

  test("pieces of one matrix in two types are refused by name, or decoded on request", async () => {
    const mixed: TypeOf = (name) => (name.includes("attn_v") ? "Q8_0" : all("Q4_0")(name));
    const file = await fileOf(dense, mixed);
    const before = backend.memory.usage();
    await expect(load(file)).rejects.toThrow(
      'layers.0.selfAttn.qkvProj.weight must be whole rows of one type to stay packed, got Q4_0, Q8_0; load with weights: "f32"',
    );
    expect(backend.memory.usage()).toEqual(before);
    disposeAll(await load(file, { weights: "f32" }));
  });

  test("what is missing, left over and of another shape is listed", async () => {
    const file = await fileOf({ ...dense, hiddenSize: 32 }, plainly, { "qwen3.embedding_length": value.u32(64) });
    await expect(load(file)).rejects.toThrow(
      "model.embed_tokens.weight must have shape [40,64] for embedTokens.weight, got [40,32]",
    );
    const metadata = { ...metadataOf(dense), "qwen3.vocab_size": value.u32(40) };
    const rope = { name: "rope_freqs.weight", type: "F32", shape: [1], bytes: new Uint8Array(4) } as const;
    await expect(load(ggufFile({ metadata, tensors: [rope] }))).rejects.toThrow(
      /"model\.embed_tokens\.weight"[^]*1 tensor has no place in the model:\n {2}"rope_freqs\.weight"/,
    );
  });

  test("experts of no numbers are not cut up, and too many are refused", async () => {
    const down = (count: number, width: number, bytes: number): Bytes => {
      const name = "blk.0.ffn_down_exps.weight";
      const tensor = { name, type: "F32", shape: [count, 1, width], bytes: new Uint8Array(bytes) } as const;
      return ggufFile({ metadata: metadataOf(sparse), tensors: [tensor] });
    };
    expect([...(await openCheckpoint(down(2 ** 40, 0, 0))).tensors.keys()]).toEqual(["blk.0.ffn_down_exps.weight"]);
    expect(
      (await openCheckpoint(down(2, 1, 8))).tensors.get("model.layers.0.mlp.experts.1.down_proj.weight"),
    ).toMatchObject({ name: "blk.0.ffn_down_exps.weight", shape: [1, 1], dtype: "F32" });
    await expect(openCheckpoint(down(10_001, 1, 40_004))).rejects.toThrow("must hold at most 10000 experts, got 10001");
  });

  test("from a path", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "gguf-")), "model.gguf");
    await writeFile(path, await fileOf(dense));
    const checkpoint = await openCheckpoint(path);
    expect([checkpoint.format, checkpoint.tensors.size]).toEqual(["gguf", 25]);
  });

  test("activations are chosen by the caller, for products with weights in blocks", async () => {
    const file = await fileOf(sparse, all("Q8_0"));
    const model = await load(file);
    setActivations(model, "q8");
    const { selfAttn, mlp } = model.layers[0] as { selfAttn: { oProj: Linear }; mlp: object };
    const { gate, experts } = mlp as { gate: Linear; experts: { activations: string } };
    const chosen = [model.embedTokens, selfAttn.oProj, experts, gate].map(({ activations }) => activations);
    expect(chosen).toEqual(["q8", "q8", "q8", "f32"]);
    expect(await logitsOf(model)).not.toEqual(await logitsOf(await load(file)));
  });
});

describe("memory beside the weights", () => {
  const rows = 9000;
  const width = 4096;
  const head = ggufFile({
    metadata: metadataOf({ ...dense, vocabSize: rows, hiddenSize: width }),
    tensors: [{ name: "token_embd.weight", type: "Q8_0", shape: [rows, width], bytes: new Uint8Array(0) }],
    alignment: 32,
  });
  const bytes = (rows * width * 34) / 32;

  test.each([
    ["stored", bytes],
    ["f32", 4 * rows * width],
  ] as const)("%s: no read and no write of more than 8 MB, and each byte once", async (weights, total) => {
    let largest = 0;
    const sum = { read: 0, written: 0 };
    const source: Source = {
      name: "large",
      byteLength: head.length + bytes,
      read: async (begin, end) => {
        if (begin >= head.length) [largest, sum.read] = [Math.max(largest, end - begin), sum.read + end - begin];
        const read = new Uint8Array(end - begin);
        read.set(head.subarray(begin, Math.min(end, head.length)));
        return read;
      },
    };
    const { memory } = backend;
    const counting: Backend = {
      ...backend,
      memory: {
        alloc: (length) => memory.alloc(length),
        free: (storage) => memory.free(storage),
        read: (storage, offset, length) => memory.read(storage, offset, length),
        usage: () => memory.usage(),
        write: (storage, offset, written) => {
          [largest, sum.written] = [Math.max(largest, written.byteLength), sum.written + written.byteLength];
          memory.write(storage, offset, written);
        },
      },
    };
    const checkpoint: Checkpoint = await openCheckpoint(source);
    const names = qwen3Names(dense);
    const build = (w: Weights): object => ({ it: w.at("embedTokens").take("weight", [rows, width], "normal") });
    disposeAll(await loadModel(counting, checkpoint, build, { names, weights }));
    expect(largest).toBeLessThanOrEqual(2 ** 23);
    expect(sum).toEqual({ read: bytes, written: total });
  });
});
