// Reads and writes config.json as transformers 4 and 5 write it. Nothing is guessed: a field is read, known to be harmless, or an error.
import { ConfigError, FormatError } from "../core/errors.js";
import { parseJson, show } from "../io/json-text.js";
import { JsonFields, sameJson, type JsonObject } from "./json-fields.js";
import { checkConfig, noExperts, type ExpertFields, type LayerType, type Qwen3Config } from "./qwen3-config.js";
import { ropeFromJson, ropeToJson } from "./rope-json.js";

/** What transformers writes beside the model's shape: bookkeeping, and defaults of text generation. None changes a forward pass. */
const ignored: readonly string[] = `
  architectures model_type transformers_version torch_dtype dtype use_cache _name_or_path _attn_implementation_autoset is_decoder
  output_router_logits output_attentions output_hidden_states return_dict torchscript use_bfloat16 tf_legacy_loss chunk_size_feed_forward
  tokenizer_class prefix finetuning_task problem_type task_specific_params id2label label2id sep_token_id decoder_start_token_id
  bad_words_ids begin_suppress_tokens suppress_tokens forced_bos_token_id forced_eos_token_id do_sample temperature top_k top_p typical_p
  max_length min_length num_beams num_beam_groups num_return_sequences early_stopping length_penalty exponential_decay_length_penalty
  diversity_penalty repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size remove_invalid_values output_scores
  return_dict_in_generate`.match(/\S+/g)!;

/** Fields that would change the model, with the only value under which it is the one built here. */
const fixed: Readonly<Record<string, unknown>> = {
  hidden_act: "silu",
  attention_dropout: 0,
  is_encoder_decoder: false,
  add_cross_attention: false,
  cross_attention_hidden_size: null,
  tie_encoder_decoder: false,
  pruned_heads: {},
};

/** Deeper nesting is no config. */
const maxDepth = 32;
/** More layers than any model has. */
const mostLayers = 10_000;

const common = {
  vocabSize: "vocab_size",
  hiddenSize: "hidden_size",
  intermediateSize: "intermediate_size",
  numHiddenLayers: "num_hidden_layers",
  numAttentionHeads: "num_attention_heads",
  numKeyValueHeads: "num_key_value_heads",
  headDim: "head_dim",
  maxPositionEmbeddings: "max_position_embeddings",
  rmsNormEps: "rms_norm_eps",
  initializerRange: "initializer_range",
  tieWordEmbeddings: "tie_word_embeddings",
  attentionBias: "attention_bias",
} as const satisfies Partial<Record<keyof Qwen3Config, string>>;

const tokenIds = {
  padTokenId: "pad_token_id",
  bosTokenId: "bos_token_id",
  eosTokenId: "eos_token_id",
} as const satisfies Partial<Record<keyof Qwen3Config, string>>;

const expertFields = {
  numExpertsPerTok: "num_experts_per_tok",
  moeIntermediateSize: "moe_intermediate_size",
  normTopkProb: "norm_topk_prob",
  decoderSparseStep: "decoder_sparse_step",
  routerAuxLossCoef: "router_aux_loss_coef",
} as const satisfies Partial<Record<keyof ExpertFields, string>>;

/**
 * Reads the config.json of a Qwen3 or Qwen3-MoE model, as parsed JSON or as text, written by transformers 4 (`num_experts`, `rope_theta`
 * with `rope_scaling`) or 5 (`num_local_experts`, `rope_parameters`).
 *
 * @throws FormatError if the text is no JSON object; ConfigError if a field is missing, unknown, out of range or contradicts another.
 */
export function configFromJson(json: unknown): Qwen3Config {
  const object = asObject(json);
  const sparse = modelType(object) === "qwen3_moe";
  const fields = new JsonFields("config.json", object);
  for (const field of ignored) fields.optional(field);
  for (const [field, only] of Object.entries(fixed)) {
    const value = fields.optional(field) ?? only;
    if (sameJson(value, only)) continue;
    throw new ConfigError(`config.json: ${field} must be ${JSON.stringify(only)}, got ${JSON.stringify(value)}`);
  }
  const read = {
    ...mapValues(common, (field) => fields.required(field)),
    ...mapValues(tokenIds, (field) => fields.optional(field)),
    rope: ropeFromJson(fields),
    ...readWindow(fields, sparse),
    ...(sparse ? readExperts(fields) : noExperts),
  };
  fields.finish();
  const config = Object.fromEntries(Object.entries(read).filter(([, value]) => value !== undefined));
  return checkConfig(config as unknown as Qwen3Config); // checkConfig looks at every field, whatever its static type says
}

/**
 * The config.json of a model, ready for `JSON.stringify`. It uses the field names of transformers 4 (`num_experts`, `rope_theta` with
 * `rope_scaling`), because transformers 5 translates them while 4 silently ignores the newer names and takes its defaults; with
 * `transformers: 5` those that 5 itself writes (`num_local_experts`, `rope_parameters`). `architectures` is included; the element type is
 * left to whoever writes the weights. `configFromJson` gives the same config back.
 *
 * transformers has no `layer_types` for Qwen3-MoE and would slide all layers: a sparse model whose layers differ loads right only here.
 *
 * @throws ConfigError if the config breaks a rule of {@link checkConfig}.
 */
export function configToJson(
  config: Qwen3Config,
  { transformers = 4 }: { readonly transformers?: 4 | 5 } = {},
): Record<string, unknown> {
  checkConfig(config);
  const sparse = config.numExperts > 0;
  const { slidingWindow, layerTypes } = config;
  const json: Record<string, unknown> = {
    architectures: [sparse ? "Qwen3MoeForCausalLM" : "Qwen3ForCausalLM"],
    model_type: sparse ? "qwen3_moe" : "qwen3",
    hidden_act: "silu",
    attention_dropout: 0,
    use_cache: true,
    ...rename(config, common),
    ...rename(config, tokenIds),
    ...ropeToJson(config.rope, transformers),
    use_sliding_window: slidingWindow !== undefined,
    sliding_window: slidingWindow ?? null,
  };
  if (layerTypes !== undefined) json.layer_types = [...layerTypes];
  else if (!sparse && slidingWindow !== undefined) json.max_window_layers = 0;
  if (sparse) {
    const { numExperts, mlpOnlyLayers } = config;
    const count = transformers === 4 ? "num_experts" : "num_local_experts";
    Object.assign(json, rename(config, expertFields), { [count]: numExperts, mlp_only_layers: [...mlpOnlyLayers] });
  }
  return json;
}

/** `use_sliding_window` decides; a dense model without `layer_types` slides from layer `max_window_layers` on, a sparse one everywhere. */
function readWindow(fields: JsonFields, sparse: boolean): Pick<Qwen3Config, "slidingWindow" | "layerTypes"> {
  const use = fields.optional("use_sliding_window");
  const window = fields.optional("sliding_window") as number | undefined;
  const firstSliding = fields.optional("max_window_layers");
  const given = fields.optional("layer_types") as readonly LayerType[] | undefined;
  if (use !== undefined && typeof use !== "boolean") {
    throw new ConfigError(`config.json: use_sliding_window must be true or false, got ${JSON.stringify(use)}`);
  }
  if (use === undefined && window !== undefined) {
    throw new ConfigError(`config.json: sliding_window is ${window}; add use_sliding_window to say whether it counts`);
  }
  if (!use) return { layerTypes: given };
  if (window === undefined)
    throw new ConfigError("config.json: use_sliding_window is true, so sliding_window must be given");
  if (given !== undefined || sparse) return { slidingWindow: window, layerTypes: given };
  const first = count("max_window_layers", firstSliding ?? fields.required("max_window_layers"));
  if (first === 0) return { slidingWindow: window };
  const length = count("num_hidden_layers", fields.required("num_hidden_layers"));
  const types = Array.from({ length }, (_, layer): LayerType => {
    return layer < first ? "full_attention" : "sliding_attention";
  });
  return { slidingWindow: window, layerTypes: types };
}

/** A number of layers. @throws ConfigError unless it is an integer that a file may name without costing memory out of proportion */
function count(field: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= mostLayers) return value;
  throw new ConfigError(`config.json: ${field} must be an integer of 0 to ${mostLayers}, got ${show(value)}`);
}

function readExperts(fields: JsonFields): Record<keyof ExpertFields, unknown> {
  const numExperts = fields.either("num_experts", "num_local_experts") ?? fields.required("num_experts");
  const mlpOnlyLayers = fields.optional("mlp_only_layers") ?? [];
  const read = { ...mapValues(expertFields, (field) => fields.required(field)), numExperts, mlpOnlyLayers };
  return numExperts === 0 ? noExperts : read;
}

function modelType(json: JsonObject): "qwen3" | "qwen3_moe" {
  const type = json.model_type;
  if (type === "qwen3" || type === "qwen3_moe") return type;
  throw new ConfigError(`config.json: model_type must be qwen3 or qwen3_moe, got ${JSON.stringify(type)}`);
}

function asObject(json: unknown): JsonObject {
  const value = typeof json === "string" ? parseJson("config.json", json, maxDepth) : json;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new FormatError(`config.json: must be a JSON object, got ${Array.isArray(value) ? "a list" : String(value)}`);
}

function mapValues<K extends string>(
  names: Readonly<Record<K, string>>,
  read: (field: string) => unknown,
): Record<K, unknown> {
  const entries = Object.entries<string>(names).map(([name, field]) => [name, read(field)]);
  return Object.fromEntries(entries) as Record<K, unknown>;
}

/** The fields of `config` under their names in config.json; absent ones are left out. */
function rename(config: Qwen3Config, names: Partial<Record<keyof Qwen3Config, string>>): Record<string, unknown> {
  const entries = Object.entries(names) as [keyof Qwen3Config, string][];
  return Object.fromEntries(
    entries.filter(([name]) => config[name] !== undefined).map(([name, field]) => [field, config[name]]),
  );
}
