// What the tensors of a GGUF file are called in transformers, and the other way round. All experts of a layer are one tensor there.
import type { Shape } from "../core/shape.js";

export const wholeNames: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};
/** Names within a layer. */
export const layerNames: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
};
export const expertNames: Readonly<Record<string, string>> = {
  ffn_gate_exps: "gate_proj",
  ffn_up_exps: "up_proj",
  ffn_down_exps: "down_proj",
};

const inverse = (names: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(names).map(([field, name]) => [name, field]));

const tables = /* @__PURE__ */ (() => ({
  whole: inverse(wholeNames),
  layer: inverse(layerNames),
  experts: inverse(expertNames),
}))();

/** The tensor that holds transformers' tensor `key`; undefined if llama.cpp has no place for it. */
export function ggufName(key: string): string | undefined {
  const [, layer, expert, stem] = /^(?:model\.layers\.(\d+)\.(mlp\.experts\.\d+\.)?)?(.*)\.weight$/.exec(key) ?? [];
  const { whole, layer: ofLayer, experts } = tables;
  const field = (layer === undefined ? whole : expert === undefined ? ofLayer : experts).get(stem);
  if (field === undefined) return undefined;
  return `${layer === undefined ? "" : `blk.${layer}.`}${field}.weight`;
}

/** The tensors of a model of this config.json, row-major. */
export function ggufShapes(config: Readonly<Record<string, unknown>>): ReadonlyMap<string, Shape> {
  const size = (field: string): number => config[field] as number;
  const [D, V, d] = [size("hidden_size"), size("vocab_size"), size("head_dim")];
  const [q, kv] = [size("num_attention_heads") * d, size("num_key_value_heads") * d];
  const [E, I, F] = [size("num_experts"), size("moe_intermediate_size"), size("intermediate_size")];
  const sparse = { ffn_gate_inp: [E, D], ffn_gate_exps: [E, I, D], ffn_up_exps: [E, I, D], ffn_down_exps: [E, D, I] };
  const dense = { ffn_gate: [F, D], ffn_up: [F, D], ffn_down: [D, F] };
  const layer = {
    attn_norm: [D],
    attn_q: [q, D],
    attn_k: [kv, D],
    attn_v: [kv, D],
    attn_output: [D, q],
    attn_q_norm: [d],
    attn_k_norm: [d],
    ffn_norm: [D],
    ...(config.model_type === "qwen3_moe" ? sparse : dense),
  };
  const shapes = new Map<string, Shape>();
  const add = (prefix: string, fields: Readonly<Record<string, Shape>>): void => {
    for (const [field, shape] of Object.entries(fields)) shapes.set(`${prefix}${field}.weight`, shape);
  };
  add("", { token_embd: [V, D], output_norm: [D] });
  if (config.tie_word_embeddings !== true) add("", { output: [V, D] });
  for (let i = 0; i < size("num_hidden_layers"); i++) add(`blk.${i}.`, layer);
  return shapes;
}
