// What the GGUF writer refuses, by name, since llama.cpp would compute otherwise.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { CheckpointError, ConfigError, FormatError } from "../../src/core/errors.js";
import { encodeGguf, type SaveGgufOptions } from "../../src/io/save-gguf.js";
import { configToJson } from "../../src/models/config-json.js";
import type { Qwen3Config } from "../../src/models/qwen3-config.js";
import type { Qwen3 } from "../../src/models/qwen3.js";
import { packModel } from "../../src/quant/pack-model.js";
import { dense, sparse, withModel } from "./gguf-models.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

const json = configToJson(sparse);
const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
test.each<[string, object, string]>([
  ["another model", { model_type: "qwen2" }, "config.model_type must be qwen3 or qwen3_moe"],
  ["probabilities as they are", { norm_topk_prob: false }, "config.norm_topk_prob must be true"],
  ["and not said", { norm_topk_prob: undefined }, "config.norm_topk_prob must be given"],
  ["layers without experts", { mlp_only_layers: [0] }, "config.mlp_only_layers must be []"],
  ["every second layer", { decoder_sparse_step: 2 }, "config.decoder_sparse_step must be 1"],
  ["biases", { attention_bias: true }, "config.attention_bias must be false"],
  ["another activation", { hidden_act: "gelu" }, 'config.hidden_act must be "silu"'],
  ["windows", { use_sliding_window: true, sliding_window: 8 }, "config.use_sliding_window must be false"],
  [
    "a window that nobody denies",
    { use_sliding_window: null, sliding_window: 8 },
    "config.sliding_window must be null",
  ],
  ["windows of layers", { layer_types: ["full_attention", "sliding_attention"] }, "config.layer_types"],
  ["a part of the head turns", { partial_rotary_factor: 0.5 }, "config.partial_rotary_factor must be 1"],
  ["NTK", { rope_scaling: { rope_type: "dynamic", factor: 2 } }, "config.rope_scaling.rope_type must be default"],
  ["LongRoPE", { rope_scaling: { rope_type: "longrope" } }, 'got "longrope"'],
  ["mRoPE", { rope_scaling: { rope_type: "default", mrope_section: [8, 4, 4] } }, "config.rope_scaling.mrope_section"],
  [
    "YaRN of another strength",
    { rope_scaling: { ...yarn, attention_factor: 1 } },
    "config.rope_scaling.attention_factor must be 0.1 ln",
  ],
  ["ramps of another width", { rope_scaling: { ...yarn, beta_fast: 24 } }, "config.rope_scaling.beta_fast must be 32"],
  ["mscale", { rope_scaling: { ...yarn, mscale: 1 } }, "config.rope_scaling.mscale must be null"],
  ["ramps not rounded", { rope_scaling: { ...yarn, truncate: false } }, "config.rope_scaling.truncate must be true"],
  ["YaRN of no factor", { rope_scaling: { rope_type: "yarn" } }, "config.rope_scaling.factor must be a number"],
  ["names of transformers 5", { rope_parameters: {} }, "config.rope_parameters must be null"],
  ["a field of another family", { shared_expert_intermediate_size: 8 }, "config.shared_expert_intermediate_size"],
  ["several ends", { eos_token_id: [1, 2] }, "config.eos_token_id must be one id"],
  ["a size missing", { hidden_size: undefined }, "config.hidden_size must be a number, got nothing"],
])("%s", async (_, changed, message) => {
  const refused = withModel(backend, sparse, (model) => encodeGguf(model, { ...json, ...changed }, { dtype: "f32" }));
  await expect(refused).rejects.toThrow(message);
  await expect(refused).rejects.toThrow(ConfigError);
});

const refusal = async (
  config: Qwen3Config,
  given: unknown,
  options: Partial<SaveGgufOptions> = {},
  change: (model: Qwen3) => unknown = () => undefined,
): Promise<Error> =>
  withModel(backend, config, async (model) => {
    await change(model);
    return encodeGguf(model, given, { dtype: "f32", ...options }).then(
      () => new Error("not refused"),
      (error: unknown) => error as Error,
    );
  });

test("tensors that the config does not have, lacks, or has otherwise", async () => {
  const tied = await refusal(dense, { ...configToJson(dense), tie_word_embeddings: true });
  expect(tied).toBeInstanceOf(CheckpointError);
  expect(tied.message).toContain("output.weight has no place in a model of this config");
  const untied = await refusal(sparse, { ...json, tie_word_embeddings: false });
  expect(untied.message).toContain("output.weight [40,64] must be in the model, got none");
  const biased = await refusal({ ...dense, attentionBias: true }, configToJson(dense));
  expect(biased.message).toContain("layers.0.selfAttn.qkvProj.bias has no place in llama.cpp's graph");
  const other = await refusal(dense, { ...configToJson(dense), intermediate_size: 64 });
  expect(other.message).toContain("blk.0.ffn_gate.weight must be [64,64], got 96 rows of 64");
  const heads = await refusal(dense, { ...configToJson(dense), num_attention_heads: 2 });
  expect(heads.message).toContain("layers.0.selfAttn.options.numAttentionHeads must be 2");
});

test("schemes that GGUF has not, and rows of broken blocks", async () => {
  const packed = (scheme: string) => (model: Qwen3) => packModel(model, { scheme });
  for (const scheme of ["int8", "fp8_e4m3", "fp4", "int4"]) {
    const { message } = await refusal(dense, configToJson(dense), {}, packed(scheme));
    expect(message).toContain(`token_embd.weight must be f32, or packed as f16, q4_0, q4_1,`);
    expect(message).toContain(`got ${scheme}[40,64]`);
  }
  const short = await refusal(dense, configToJson(dense), {}, packed("q4_k"));
  expect(short.message).toContain(
    "token_embd.weight must have rows of a multiple of 256 numbers to be Q4_K, got [40,64]",
  );
});

test("settings of blocks that neither tensors nor config show", async () => {
  const settings: [string, (model: Qwen3) => object, object][] = [
    ["selfAttn.options.softcap must be 0", ({ layers }) => layers[1].selfAttn.options, { softcap: 30 }],
    ["selfAttn.options.sinks must be 0", ({ layers }) => layers[1].selfAttn.options, { sinks: 4 }],
    ["selfAttn.options.slidingWindow must be 0", ({ layers }) => layers[1].selfAttn.options, { slidingWindow: 4 }],
    ["selfAttn.options.outputGate must be false", ({ layers }) => layers[1].selfAttn.options, { outputGate: true }],
    [
      "selfAttn.rope.options.ropeTheta must be 1000000",
      ({ layers }) => layers[1].selfAttn.rope.options,
      { ropeTheta: 5 },
    ],
    [
      'mlp.router.score must be "softmax"',
      ({ layers }) => (layers[1].mlp as never as { router: object }).router,
      { score: "uniform" },
    ],
  ];
  for (const [message, of, changed] of settings) {
    const error = await refusal(sparse, json, {}, (model) => Object.assign(of(model), changed));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(`layers.${message.includes("ropeTheta") ? 0 : 1}.${message}`);
  }
});

test("metadata that llama.cpp would compute by, or that do not fit", async () => {
  const given = (entries: [string, unknown][], types: [string, unknown][] = []): Partial<SaveGgufOptions> => ({
    metadata: new Map(entries) as SaveGgufOptions["metadata"],
    metadataTypes: new Map(types) as SaveGgufOptions["metadataTypes"],
  });
  const messageOf = async (options: Partial<SaveGgufOptions>): Promise<string> =>
    (await refusal(dense, configToJson(dense), options)).message;
  expect(await messageOf(given([["qwen3.rope.scaling.attn_factor", 2]]))).toContain(
    '"rope.scaling.attn_factor" must be left out',
  );
  expect(await messageOf(given([["qwen3.rope.scaling.attn_factor", 1]]))).toBe("not refused");
  expect(await messageOf(given([["tokenizer.ggml.tokens", ["a"]]]))).toContain(
    "config.vocab_size must be the number of tokenizer.ggml.tokens; fill the list up with unused tokens",
  );
  const refused: [string, unknown, unknown, string][] = [
    ["x", -1, "u32", "fits into u32, got -1"],
    ["x", 2 ** 32, undefined, "fits into u32, got 4294967296"],
    ["x", 1.5, "i64", "fits into i64, got 1.5"],
    ["x", 1e300, "f32", "fit into f32, got 1e+300"],
    ["x", NaN, "u8", "fits into u8"],
    ["x", "a", "bool", 'be a value of type bool, got "a"'],
    ["x", 1, "u32[]", "be a list to be u32[], got 1"],
    ["x", [["a"]], undefined, "not be lists in lists"],
    ["x", 1, "u128", 'have one of the format\'s types, got "u128"'],
    ["x".repeat(65536), 1, undefined, "a string of at most 65535 bytes"],
    ["general.alignment", 12, undefined, "a positive multiple of 8"],
  ];
  for (const [key, value, type, message] of refused) {
    const error = await refusal(
      dense,
      configToJson(dense),
      given([[key, value]], type === undefined ? [] : [[key, type]]),
    );
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
  }
});

test("numbers that MXFP4 and f16 do not have", async () => {
  const [odd, large] = [NaN, 1e6].map((number) => async (model: Qwen3, scheme?: string) => {
    const { weight } = model.embedTokens as { weight: { write?(data: Float32Array, start: number): void } };
    weight.write!(Float32Array.of(number), 70);
    if (scheme) await packModel(model, { scheme });
  });
  const nan = await refusal(dense, configToJson(dense), {}, (model) => odd(model, "mxfp4"));
  expect(nan.message).toBe(
    "token_embd.weight: every number must be finite to be MXFP4, whose NaN llama.cpp reads as 2^128",
  );
  const infinite = await refusal(dense, configToJson(dense), { dtype: "f16" }, (model) => large(model));
  expect(infinite.message).toContain("token_embd.weight: every number must fit into f16, got 1000000");
});
