// The metadata of a GGUF file out of a config.json. llama.cpp ignores what it does not know, so a field is written, known to change nothing, or
// refused: the inverse of gguf-config.ts.
import { ConfigError } from "../core/errors.js";
import { architectures, common, experts, neutralFactors, tokenIds } from "./gguf-config.js";
import { usualType, type TypedValue } from "./gguf-writer.js";
import type { MetadataType } from "./gguf-value-types.js";
import type { MetadataValue } from "./gguf-values.js";
import { isJsonObject, show } from "./json-text.js";

export type ConfigJson = Readonly<Record<string, unknown>>;

/** What `configToJson` writes beside what llama.cpp needs, none of which changes a forward pass. */
const harmless: readonly string[] = `
  architectures dtype torch_dtype use_cache initializer_range router_aux_loss_coef max_window_layers attention_dropout transformers_version`.match(
  /\S+/g,
)!;

interface Rule {
  readonly must: string;
  holds(value: unknown, config: ConfigJson): boolean;
}
const only = (value: unknown): Rule => ({ must: `be ${show(value)}`, holds: (given) => given === value });
const absent: Rule = { must: "be null", holds: () => false };

/** Fields with the values under which llama.cpp computes the same. Absent ones pass. */
const rules: Readonly<Record<string, Rule>> = {
  hidden_act: only("silu"),
  attention_bias: only(false),
  use_sliding_window: only(false),
  sliding_window: { must: "be null", holds: (_, config) => config.use_sliding_window === false },
  partial_rotary_factor: only(1),
  layer_types: {
    must: "name full_attention alone",
    holds: (types) => Array.isArray(types) && types.every((type) => type === "full_attention"),
  },
};
const expertRules: Readonly<Record<string, Rule>> = {
  norm_topk_prob: only(true),
  decoder_sparse_step: only(1),
  mlp_only_layers: { must: "be []", holds: (layers) => Array.isArray(layers) && layers.length === 0 },
};
const scalingKeys = {
  factor: { "rope.scaling.factor": "factor" },
  original: { "rope.scaling.original_context_length": "original_max_position_embeddings" },
};
const yarnRules: Readonly<Record<string, Rule>> = {
  truncate: only(true),
  beta_fast: only(32), // the format has keys for both, which not every llama.cpp reads
  beta_slow: only(1),
  attention_factor: {
    must: "be 0.1 ln factor + 1, or left out,",
    holds: (given, config) => {
      const { factor } = config.rope_scaling as { readonly factor: number };
      return Math.fround(given as number) === Math.fround(0.1 * Math.log(factor) + 1);
    },
  },
};
/** Where an absent field means another value than the rule's. */
const required = ["norm_topk_prob", "decoder_sparse_step", "tie_word_embeddings"];

/** Keys whose numbers are f32; the others are u32. */
const isReal = (key: string): boolean => /(epsilon|freq_base|factor)$/.test(key);

/** What the caller adds: a tokenizer, a name, or everything from a file that was read. */
export interface GivenMetadata {
  readonly metadata?: ReadonlyMap<string, MetadataValue>;
  readonly metadataTypes?: ReadonlyMap<string, MetadataType>;
}

/** The architecture that a config is for. @throws ConfigError if llama.cpp has none */
export function architectureOf(config: ConfigJson): string {
  const found = Object.entries(architectures).find(([, type]) => type === config.model_type);
  if (found !== undefined) return found[0];
  const known = Object.values(architectures).join(" or ");
  return fail("model_type", `be ${known}`, config.model_type);
}

/**
 * @param given keys of the architecture and `general.architecture` are written from the config, whatever is given
 * @throws ConfigError that names a field which is missing, or which llama.cpp would ignore or compute otherwise
 */
export function ggufMetadata(config: ConfigJson, given: GivenMetadata): ReadonlyMap<string, TypedValue> {
  const architecture = architectureOf(config);
  const sparse = architecture === "qwen3moe";
  const fields = new Map(Object.entries(config).filter(([, value]) => value !== null && value !== undefined));
  const own = new Map<string, MetadataValue>();
  for (const field of required) {
    if (field in expertRules && !sparse) continue;
    if (!fields.has(field)) fail(field, "be given", undefined);
  }
  for (const [key, field] of Object.entries(sparse ? { ...common, ...experts } : common)) {
    own.set(key, numberOf(`config.${field}`, fields.get(field)));
    fields.delete(field);
  }
  own.set("attention.value_length", own.get("attention.key_length")!);
  ropeScaling(fields.get("rope_scaling"), own, config);
  const vocabulary = vocabularyOf(fields, given.metadata ?? new Map());
  for (const [key, value] of vocabulary.own) own.set(key, value);
  const checked = sparse ? { ...rules, ...expertRules } : rules;
  for (const [field, value] of fields) {
    if (["model_type", "rope_scaling", "tie_word_embeddings"].includes(field) || harmless.includes(field)) continue;
    if (Object.values(tokenIds).includes(field) || field === "vocab_size") continue;
    check(field, Object.hasOwn(checked, field) ? checked[field] : absent, value, config);
  }
  const prefix = `${architecture}.`;
  const typed = new Map<string, TypedValue>([["general.architecture", { type: "string", value: architecture }]]);
  for (const [key, value] of own) {
    const type = typeof value === "number" ? (isReal(key) ? "f32" : "u32") : usualType(value);
    typed.set(prefix + key, { type, value });
  }
  for (const [key, value] of [...(given.metadata ?? []), ...vocabulary.tokenizer]) {
    if (typed.has(key) || key.startsWith("split.")) continue;
    if (key.startsWith(prefix)) expectNeutral(key.slice(prefix.length), value, own);
    typed.set(key, { type: given.metadataTypes?.get(key) ?? usualType(value), value });
  }
  return typed;
}

/** llama.cpp has linear and YaRN for these architectures; it takes YaRN's attention factor from the factor alone. */
function ropeScaling(scaling: unknown, own: Map<string, MetadataValue>, config: ConfigJson): void {
  if (scaling === undefined) return;
  if (!isJsonObject(scaling)) fail("rope_scaling", "be an object or null", scaling);
  const type = scaling.rope_type ?? scaling.type;
  const known = ["rope_type", "type"];
  if (type === "linear" || type === "yarn") {
    own.set("rope.scaling.type", type);
    const { factor, original } = scalingKeys;
    for (const [key, field] of Object.entries({ ...factor, ...(type === "yarn" ? original : {}) })) {
      known.push(field);
      own.set(key, numberOf(`config.rope_scaling.${field}`, scaling[field]));
    }
  } else if (type !== "default") fail("rope_scaling.rope_type", "be default, linear or yarn", type);
  const allowed = type === "yarn" ? yarnRules : {};
  for (const [field, value] of Object.entries(scaling)) {
    if (known.includes(field) || value === null || value === undefined) continue;
    check(`rope_scaling.${field}`, Object.hasOwn(allowed, field) ? allowed[field] : absent, value, config);
  }
}

/** A file without a tokenizer says so, and how many tokens there are. */
function vocabularyOf(
  fields: ReadonlyMap<string, unknown>,
  metadata: ReadonlyMap<string, MetadataValue>,
): { readonly own: Map<string, MetadataValue>; readonly tokenizer: Map<string, MetadataValue> } {
  const [own, tokenizer] = [new Map<string, MetadataValue>(), new Map<string, MetadataValue>()];
  const size = numberOf("config.vocab_size", fields.get("vocab_size"));
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (tokens === undefined) {
    own.set("vocab_size", size);
    if (!metadata.has("tokenizer.ggml.model")) tokenizer.set("tokenizer.ggml.model", "none");
  } else if (typeof tokens !== "object" || tokens.length !== size) {
    const got = typeof tokens === "object" ? tokens.length : tokens;
    fail("vocab_size", "be the number of tokenizer.ggml.tokens; fill the list up with unused tokens", size, got);
  }
  for (const [token, field] of Object.entries(tokenIds)) {
    const [key, id] = [`tokenizer.ggml.${token}_token_id`, fields.get(field)];
    if (id === undefined || metadata.has(key)) continue;
    const one: unknown = Array.isArray(id) && id.length === 1 ? id[0] : id;
    if (typeof one !== "number")
      fail(field, "be one id; give the others in metadata, such as tokenizer.ggml.eot_token_id", id);
    tokenizer.set(key, one);
  }
  return { own, tokenizer };
}

/** Keys that the reader knows to change nothing may stay; any other of the architecture would change what llama.cpp computes. */
function expectNeutral(key: string, value: MetadataValue, own: ReadonlyMap<string, MetadataValue>): void {
  if (key === "rope.scaling.finetuned" || key === "vocab_size") return;
  if (key === "rope.dimension_count" && value === own.get("attention.key_length")) return;
  if (neutralFactors.includes(key) && value === 1) return;
  throw new ConfigError(
    `saveGguf: metadata ${show(key)} must be left out: the config does not say it, and llama.cpp may compute by it`,
  );
}

function check(field: string, { must, holds }: Rule, value: unknown, config: ConfigJson): void {
  if (!holds(value, config)) fail(field, must, value);
}

function numberOf(where: string, value: unknown): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new ConfigError(`saveGguf: ${where} must be a number, got ${show(value)}; give configToJson(config)`);
}

function fail(field: string, must: string, ...got: readonly unknown[]): never {
  throw new ConfigError(
    `saveGguf: config.${field} must ${must} for llama.cpp to compute the same, got ${got.map(show).join(" and ")}; save as safetensors, or change the model`,
  );
}
