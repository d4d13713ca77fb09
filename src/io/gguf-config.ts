// The config of a GGUF file in the terms of config.json, so that `configFromJson` reads and checks both.
import { CheckpointError, FormatError } from "../core/errors.js";
import type { Gguf } from "./gguf.js";
import { showValue, type MetadataValue } from "./gguf-values.js";

export const architectures: Readonly<Record<string, string>> = { qwen3: "qwen3", qwen3moe: "qwen3_moe" };

/** Keys behind `qwen3.` or `qwen3moe.` and the fields that they are in config.json. */
export const common = {
  embedding_length: "hidden_size",
  feed_forward_length: "intermediate_size",
  block_count: "num_hidden_layers",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.key_length": "head_dim",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  context_length: "max_position_embeddings",
  "rope.freq_base": "rope_theta",
};
export const experts = {
  expert_count: "num_experts",
  expert_used_count: "num_experts_per_tok",
  expert_feed_forward_length: "moe_intermediate_size",
};
const yarn = {
  "rope.scaling.original_context_length": "original_max_position_embeddings",
  "rope.scaling.yarn_beta_fast": "beta_fast",
  "rope.scaling.yarn_beta_slow": "beta_slow",
};
export const tokenIds = { bos: "bos_token_id", eos: "eos_token_id", padding: "pad_token_id" };
/** Factors that change nothing while they are 1. */
export const neutralFactors: readonly string[] = [
  "rope.scaling.attn_factor",
  "rope.scaling.yarn_attn_factor",
  "rope.scaling.yarn_ext_factor",
];

/** What no GGUF file says. llama.cpp divides the chosen probabilities by their sum in every file; the rest is for training alone. */
const unsaid = { initializer_range: 0.02 };
const unsaidOfExperts = { norm_topk_prob: true, decoder_sparse_step: 1, router_aux_loss_coef: 0.001 };

/**
 * The config.json that the file amounts to. A key of its architecture that is not known here stands in it under its own name, so that
 * `configFromJson` refuses it.
 *
 * @throws FormatError if a key is missing or of another kind; CheckpointError if the architecture is neither qwen3 nor qwen3moe.
 */
export function ggufConfig(file: Gguf): Readonly<Record<string, unknown>> {
  const architecture = String(file.metadata.get("general.architecture"));
  if (!Object.hasOwn(architectures, architecture)) {
    const known = Object.keys(architectures).join(" or ");
    throw new CheckpointError(
      `${file.source.name}: general.architecture must be ${known}, got ${showValue(file.metadata.get("general.architecture"))}`,
    );
  }
  const keys = new Keys(file, `${architecture}.`);
  const config: Record<string, unknown> = {
    model_type: architectures[architecture],
    ...unsaid,
    ...keys.required(common),
    vocab_size: keys.optional("vocab_size", "number") ?? file.tensors.get("token_embd.weight")?.shape[0],
    tie_word_embeddings: !file.tensors.has("output.weight"),
    attention_bias: false,
    rope_scaling: ropeScaling(keys),
    ...(architecture === "qwen3moe" ? { ...keys.required(experts), ...unsaidOfExperts } : {}),
  };
  keys.expectSame("attention.value_length", config.head_dim);
  keys.expectSame("rope.dimension_count", config.head_dim);
  for (const [token, field] of Object.entries(tokenIds)) {
    const id = file.metadata.get(`tokenizer.ggml.${token}_token_id`);
    if (id !== undefined) config[field] = id;
  }
  return { ...config, ...keys.unknown() };
}

function ropeScaling(keys: Keys): Readonly<Record<string, unknown>> | null {
  keys.optional("rope.scaling.finetuned", "boolean"); // says how the weights came about
  for (const key of neutralFactors) keys.ignoreIf(key, 1);
  const type = keys.optional("rope.scaling.type", "string") ?? "none";
  if (type === "none") return null;
  const scaling = { rope_type: type, ...keys.required({ "rope.scaling.factor": "factor" }) };
  return type === "yarn" ? { ...scaling, ...keys.present(yarn) } : scaling;
}

/** The keys of one architecture, which remember what was asked for. */
class Keys {
  readonly #file: Gguf;
  readonly #prefix: string;
  readonly #left: Map<string, MetadataValue>;

  constructor(file: Gguf, prefix: string) {
    this.#file = file;
    this.#prefix = prefix;
    this.#left = new Map([...file.metadata].filter(([key]) => key.startsWith(prefix)));
  }

  optional(key: string, kind: "number" | "boolean" | "string"): number | boolean | string | undefined {
    const value = this.#left.get(this.#prefix + key);
    if (value !== undefined && typeof value !== kind) this.#fail(key, `be a ${kind}`, value);
    this.#left.delete(this.#prefix + key);
    return typeof value === "number" ? meant(value) : (value as boolean | string | undefined);
  }

  /** Numbers under their names in config.json. */
  present(names: Readonly<Record<string, string>>): Record<string, unknown> {
    const entries = Object.entries(names).map(([key, field]) => [field, this.optional(key, "number")] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }

  required(names: Readonly<Record<string, string>>): Record<string, unknown> {
    for (const key of Object.keys(names))
      if (!this.#left.has(this.#prefix + key)) this.#fail(key, "be given", undefined);
    return this.present(names);
  }

  expectSame(key: string, value: unknown): void {
    const found = this.optional(key, "number");
    if (found !== undefined && found !== value) this.#fail(key, `be the head's width ${String(value)}`, found);
  }

  ignoreIf(key: string, value: number): void {
    if (this.#left.get(this.#prefix + key) === value) this.#left.delete(this.#prefix + key);
  }

  unknown(): Record<string, unknown> {
    return Object.fromEntries(this.#left);
  }

  #fail(key: string, rule: string, value: MetadataValue | undefined): never {
    throw new FormatError(
      `${this.#file.source.name}: metadata "${this.#prefix}${key}" must ${rule}, got ${showValue(value)}`,
    );
  }
}

/** The shortest decimal whose f32 is this number: 1e-6 where the file holds 9.999999974752427e-7. */
function meant(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
