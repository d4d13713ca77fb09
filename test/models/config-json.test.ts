// The JSON form of a config: files as transformers 4.57 and 5.18 write them, contradictions, and the round trip.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RopeOptions } from "../../src/attention/rope/rope-options.js";
import { ConfigError, FormatError } from "../../src/core/errors.js";
import { configFromJson, configToJson } from "../../src/models/config-json.js";
import { presets } from "../../src/models/presets.js";
import { checkConfig, noExperts, windowOf, type LayerType, type Qwen3Config } from "../../src/models/qwen3-config.js";

/** What both major versions write for a Qwen3-MoE model, besides the fields in which they differ. */
// prettier-ignore
const shared = {
  architectures: ["Qwen3MoeForCausalLM"], attention_bias: false, attention_dropout: 0.0, bos_token_id: 151643,
  decoder_sparse_step: 1, eos_token_id: 151645, head_dim: 128, hidden_act: "silu", hidden_size: 2048,
  initializer_range: 0.02, intermediate_size: 6144, max_position_embeddings: 40960, mlp_only_layers: [],
  model_type: "qwen3_moe", moe_intermediate_size: 768, norm_topk_prob: true, num_attention_heads: 32,
  num_experts_per_tok: 8, num_hidden_layers: 48, num_key_value_heads: 4, output_router_logits: false,
  rms_norm_eps: 1e-6, router_aux_loss_coef: 0.001, sliding_window: null, tie_word_embeddings: false, use_cache: true,
  use_sliding_window: false, vocab_size: 151936,
};
const version4 = {
  ...shared,
  max_window_layers: 48,
  num_experts: 128,
  rope_scaling: null,
  rope_theta: 1000000.0,
  torch_dtype: "bfloat16",
  transformers_version: "4.51.0",
};
const version5 = {
  ...shared,
  dtype: "bfloat16",
  num_local_experts: 128,
  pad_token_id: null,
  rope_parameters: { rope_theta: 1000000.0, rope_type: "default" },
  transformers_version: "5.18.0",
};
const dense = { ...configToJson({ ...presets["qwen3-0.6b"], numHiddenLayers: 4 }), max_window_layers: 2 };

const longScaling = {
  type: "longrope",
  short_factor: Array.from({ length: 64 }, () => 1),
  long_factor: Array.from({ length: 64 }, () => 4),
  original_max_position_embeddings: 4096,
};

/** Fields whose absence means what the value above says. */
const mayBeAbsent: readonly string[] = [
  ...["architectures", "attention_dropout", "bos_token_id", "eos_token_id", "hidden_act", "mlp_only_layers"],
  ...["output_router_logits", "sliding_window", "use_cache", "use_sliding_window"],
];

describe("configFromJson", () => {
  it("reads what transformers 4 and 5 write", () => {
    expect(configFromJson(version4)).toEqual(presets["qwen3-30b-a3b"]);
    expect(configFromJson(version5)).toEqual(presets["qwen3-30b-a3b"]);
    expect(configFromJson(JSON.stringify(version5))).toEqual(presets["qwen3-30b-a3b"]);
  });

  it("reads yarn in the forms of both", () => {
    const rope = { ropeType: "yarn", ropeTheta: 1e6, factor: 4, originalMaxPositionEmbeddings: 32768 };
    const scaling = { type: "yarn", factor: 4.0, original_max_position_embeddings: 32768 };
    expect(configFromJson({ ...version4, rope_scaling: scaling }).rope).toEqual(rope);
    const parameters = { ...scaling, rope_type: "yarn", rope_theta: 1e6, attention_factor: null };
    expect(configFromJson({ ...version5, rope_parameters: parameters }).rope).toEqual(rope);
    expect(
      configFromJson({ ...version5, rope_theta: 1e6, rope_scaling: scaling, rope_parameters: parameters }).rope,
    ).toEqual(rope);
    const partial = { ...parameters, partial_rotary_factor: 0.5 };
    expect(configFromJson({ ...version5, rope_parameters: partial }).rope).toEqual({
      ...rope,
      partialRotaryFactor: 0.5,
    });
  });

  it("takes the context of dynamic and longrope from where transformers does", () => {
    const dynamic = configFromJson({ ...version4, rope_scaling: { type: "dynamic", factor: 2 } });
    expect(dynamic.rope).toEqual({ ropeType: "dynamic", ropeTheta: 1e6, factor: 2, maxPositionEmbeddings: 40960 });
    const long = {
      ropeType: "longrope",
      ropeTheta: 1e6,
      shortFactor: longScaling.short_factor,
      longFactor: longScaling.long_factor,
      originalMaxPositionEmbeddings: 4096,
    };
    const { original_max_position_embeddings: original, ...lists } = longScaling;
    for (const rope of [
      { rope_scaling: longScaling },
      { rope_scaling: lists, original_max_position_embeddings: original },
    ])
      expect(configFromJson({ ...version4, ...rope }).rope).toEqual({ ...long, maxPositionEmbeddings: 40960 });
    const factor = configFromJson({ ...version4, rope_scaling: { ...longScaling, factor: 10 } });
    expect(factor.rope).toEqual({ ...long, factor: 10 });
    expect(() => checkConfig({ ...dynamic, maxPositionEmbeddings: 32768 })).toThrow(
      "config.rope.maxPositionEmbeddings",
    );
  });

  it("reads multimodal RoPE in the old spelling and the new one", () => {
    const rope = { ropeType: "default", ropeTheta: 1e6, mropeSection: [24, 20, 20] };
    const section = { mrope_section: [24, 20, 20] };
    expect(configFromJson({ ...version4, rope_scaling: { type: "mrope", ...section } }).rope).toEqual(rope);
    const parameters = { rope_type: "default", rope_theta: 1e6, ...section, mrope_interleaved: true };
    expect(configFromJson({ ...version5, rope_parameters: parameters }).rope).toEqual({
      ...rope,
      mropeInterleaved: true,
    });
  });

  it("slides where transformers does", () => {
    const sliding = { ...dense, use_sliding_window: true, sliding_window: 512 };
    const types = ["full_attention", "full_attention", "sliding_attention", "sliding_attention"] as const;
    expect(windows(configFromJson(dense))).toEqual([0, 0, 0, 0]);
    expect(windows(configFromJson({ ...dense, sliding_window: 512 }))).toEqual([0, 0, 0, 0]);
    expect(windows(configFromJson(sliding))).toEqual([0, 0, 512, 512]);
    expect(windows(configFromJson({ ...sliding, layer_types: [...types].reverse() }))).toEqual([512, 512, 0, 0]);
    const sparse = configFromJson({ ...version4, num_hidden_layers: 3, use_sliding_window: true, sliding_window: 512 });
    expect(windows(sparse)).toEqual([512, 512, 512]);
  });

  it("takes the dense form of a sparse class with no experts", () => {
    expect(configFromJson({ ...version4, num_experts: 0 })).toMatchObject(noExperts);
  });

  it.each(Object.keys(shared).filter((field) => !mayBeAbsent.includes(field)))("needs %s", (field) => {
    const json: Record<string, unknown> = { ...version5 };
    Reflect.deleteProperty(json, field);
    expect(() => configFromJson(json)).toThrow(new RegExp(`config.json: ${field} must be`));
  });

  it.each<[string, Record<string, unknown>, string]>([
    ["head_dim missing", { head_dim: undefined }, "head_dim must be given; add it"],
    ["norm_topk_prob missing", { norm_topk_prob: null }, "norm_topk_prob must be given; add it"],
    ["no number of experts", { num_experts: undefined }, "num_experts must be given"],
    ["two numbers of experts", { num_local_experts: 64 }, "num_experts and num_local_experts mean the same"],
    ["no theta", { rope_theta: undefined }, "rope_theta must be given"],
    ["two thetas", { rope_parameters: { rope_type: "default", rope_theta: 1e4 } }, "rope_theta must be the same"],
    ["two RoPE types", { rope_scaling: { rope_type: "yarn", type: "linear" } }, "rope_type and type mean the same"],
    ["no RoPE type", { rope_scaling: { factor: 4 } }, "rope_type must be one of"],
    ["unknown RoPE type", { rope_scaling: { type: "ntk", factor: 4 } }, "rope_type must be one of"],
    ["multimodal RoPE without sections", { rope_scaling: { type: "mrope" } }, "mrope_section must be given"],
    [
      "two original contexts",
      { rope_scaling: longScaling, original_max_position_embeddings: 1000 },
      "original_max_position_embeddings must be the same",
    ],
    ["missing list", { rope_scaling: { ...longScaling, long_factor: null } }, "long_factor must be given"],
    [
      "missing RoPE field",
      { rope_scaling: { type: "yarn", factor: 4 } },
      "original_max_position_embeddings must be given",
    ],
    ["unknown RoPE field", { rope_scaling: { type: "linear", factor: 4, beta_fast: 3 } }, "got beta_fast"],
    ["RoPE per layer type", { rope_scaling: { full_attention: { rope_type: "default" } } }, "rope_type must be one of"],
    ["RoPE of another kind", { rope_scaling: [4] }, "rope_scaling must be an object or null"],
    ["RoPE out of range", { rope_scaling: { type: "linear", factor: 0.5 } }, "rope.factor: must be"],
    ["unknown field", { shared_expert_intermediate_size: 5 }, "got shared_expert_intermediate_size"],
    ["quantised weights", { quantization_config: { bits: 4 } }, "got quantization_config"],
    ["another activation", { hidden_act: "gelu" }, "hidden_act must be"],
    ["dropout", { attention_dropout: 0.1 }, "attention_dropout must be 0"],
    ["pruned heads", { pruned_heads: { 0: [1] } }, "pruned_heads must be"],
    ["another model", { model_type: "qwen2_moe" }, "model_type must be qwen3 or qwen3_moe"],
    ["a window that may not count", { use_sliding_window: undefined, sliding_window: 4096 }, "add use_sliding_window"],
    ["no window to use", { use_sliding_window: true }, "sliding_window must be given"],
    ["a wrong flag", { use_sliding_window: "no" }, "use_sliding_window must be true or false"],
    ["text for a number", { hidden_size: "2048" }, "config.hiddenSize: must be a positive integer"],
    ["a number for a flag", { tie_word_embeddings: 1 }, "config.tieWordEmbeddings: must be true or false"],
    ["an object for a list", { mlp_only_layers: {} }, "config.mlpOnlyLayers: must be a list"],
    ["an object for an id", { eos_token_id: {} }, "config.eosTokenId: must be in 0..151935"],
  ])("refuses %s", (_, change, message) => {
    expect(() => configFromJson({ ...version4, ...change })).toThrow(ConfigError);
    expect(() => configFromJson({ ...version4, ...change })).toThrow(message);
  });

  it("refuses expert fields in a dense model, and a window without its first layer", () => {
    expect(() => configFromJson({ ...dense, num_experts: 8 })).toThrow("got num_experts");
    const sliding = { ...dense, use_sliding_window: true, sliding_window: 512, max_window_layers: null };
    expect(() => configFromJson(sliding)).toThrow("max_window_layers must be given");
  });

  it("refuses what is no JSON object", () => {
    for (const json of ["{", "[]", "3", "null", null, undefined, 7]) {
      expect(() => configFromJson(json)).toThrow(FormatError);
    }
  });
});

describe("configToJson", () => {
  it("gives back the config it was made from", () => {
    fc.assert(
      fc.property(configs, (config) => {
        for (const transformers of [4, 5] as const)
          expect(configFromJson(JSON.stringify(configToJson(config, { transformers })))).toEqual(config);
      }),
    );
  });

  it("writes the names that both versions of transformers read", () => {
    expect(configToJson(presets["qwen3-30b-a3b"])).toMatchObject({
      architectures: ["Qwen3MoeForCausalLM"],
      model_type: "qwen3_moe",
      num_experts: 128,
      rope_theta: 1_000_000,
      rope_scaling: null,
      rms_norm_eps: 1e-6,
      use_sliding_window: false,
      sliding_window: null,
    });
    const json = configToJson({ ...presets["qwen3-0.6b"], slidingWindow: 64 });
    expect(json).toMatchObject({
      model_type: "qwen3",
      use_sliding_window: true,
      sliding_window: 64,
      max_window_layers: 0,
    });
    expect(json).not.toHaveProperty("num_experts");
    expect(json).not.toHaveProperty("rope_parameters");
  });

  it("writes the names of transformers 5 on request", () => {
    const json = configToJson(presets["qwen3-30b-a3b"], { transformers: 5 });
    expect(json).toMatchObject({ num_local_experts: 128, rope_parameters: version5.rope_parameters });
    for (const old of ["num_experts", "rope_theta", "rope_scaling"]) expect(json).not.toHaveProperty(old);
  });

  it("refuses a broken config", () => {
    expect(() => configToJson({ ...presets.toy, numExpertsPerTok: 129 })).toThrow(ConfigError);
  });
});

function windows(config: Qwen3Config): number[] {
  return Array.from({ length: config.numHiddenLayers }, (_, layer) => windowOf(config, layer));
}

/** Any config that obeys the rules. */
const configs: fc.Arbitrary<Qwen3Config> = fc
  .record({
    layers: fc.integer({ min: 1, max: 6 }),
    heads: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    half: fc.integer({ min: 1, max: 64 }),
    sizes: fc.array(fc.integer({ min: 1, max: 1 << 20 }), { minLength: 5, maxLength: 5 }),
    floats: fc.array(fc.double({ min: 1e-12, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 }),
    flags: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    experts: fc.option(fc.tuple(fc.integer({ min: 1, max: 300 }), fc.nat(), fc.integer({ min: 1, max: 4 }))),
    mlpOnly: fc.uniqueArray(fc.nat(5)),
    window: fc.option(fc.integer({ min: 1, max: 5000 })),
    slides: fc.option(fc.array(fc.boolean(), { minLength: 6, maxLength: 6 })),
    theta: fc.double({ min: 1.5, max: 1e8, noNaN: true }),
    factor: fc.double({ min: 1, max: 64, noNaN: true }),
    rope: fc.constantFrom("default", "linear", "dynamic", "yarn", "yarn, all fields", "longrope", "llama3", "proportional", "mrope"), // prettier-ignore
    eos: fc.option(fc.oneof(fc.constant(0), fc.constant([0]))),
  })
  .map((drawn): Qwen3Config => {
    const { layers, heads, sizes, floats, flags, experts, window, slides } = drawn;
    const [vocabSize, hiddenSize, intermediateSize, moeIntermediateSize, context] = sizes;
    const type = (slide: boolean): LayerType => (slide && window !== null ? "sliding_attention" : "full_attention");
    return {
      ...{ vocabSize, hiddenSize, intermediateSize, numHiddenLayers: layers, headDim: 2 * drawn.half },
      ...{ numAttentionHeads: heads[0] * heads[1], numKeyValueHeads: heads[0], maxPositionEmbeddings: context },
      ...{ rmsNormEps: floats[0], initializerRange: floats[1], tieWordEmbeddings: flags[0], attentionBias: flags[1] },
      rope: ropeOf(drawn.rope, { ropeTheta: drawn.theta, factor: drawn.factor }, context, drawn.half),
      ...(window !== null && { slidingWindow: window }),
      ...(slides !== null && { layerTypes: slides.slice(0, layers).map(type) }),
      ...(drawn.eos !== null && { eosTokenId: drawn.eos, padTokenId: 0 }),
      ...(experts === null
        ? noExperts
        : {
            ...{ numExperts: experts[0], numExpertsPerTok: 1 + (experts[1] % experts[0]), moeIntermediateSize },
            ...{ normTopkProb: flags[2], decoderSparseStep: experts[2], routerAuxLossCoef: floats[2] },
            mlpOnlyLayers: drawn.mlpOnly.filter((layer) => layer < layers),
          }),
    };
  });

function ropeOf(
  type: string,
  base: { ropeTheta: number; factor: number },
  context: number,
  pairs: number,
): RopeOptions {
  const yarn = { ...base, ropeType: "yarn", originalMaxPositionEmbeddings: context } as const;
  if (type === "linear") return { ...base, ropeType: "linear" };
  if (type === "yarn") return yarn;
  if (type === "dynamic" && pairs > 1) return { ...base, ropeType: "dynamic", maxPositionEmbeddings: context };
  if (type === "longrope") {
    const [shortFactor, longFactor] = [1, 2].map((divisor) => Array<number>(pairs).fill(divisor));
    return { ...yarn, ropeType: "longrope", originalMaxPositionEmbeddings: 2, shortFactor, longFactor };
  }
  if (type === "proportional") return { ...base, ropeType: "proportional", partialRotaryFactor: 0.25 };
  if (type === "mrope")
    return { ...yarn, mropeSection: [pairs - 1, 0, 1], ...(context % 2 && { mropeInterleaved: true }) };
  if (type === "llama3") return { ...yarn, ropeType: "llama3", lowFreqFactor: 1, highFreqFactor: 4 };
  if (type === "default") return { ropeType: "default", ropeTheta: base.ropeTheta };
  const ramp = { betaFast: 16, betaSlow: 2, truncate: false };
  return { ...yarn, ...ramp, attentionFactor: 1, mscale: 0.7, mscaleAllDim: 1, partialRotaryFactor: 1 };
}
