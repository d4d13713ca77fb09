// RoPE options from and to config.json, which has carried them in three ways: `rope_theta`, `rope_scaling` beside it, or `rope_parameters`.
import { ropeTypes, type RopeOptions, type RopeType } from "../attention/rope/rope-options.js";
import { ConfigError } from "../core/errors.js";
import { JsonFields, sameJson, type JsonObject } from "./json-fields.js";

type Names = Readonly<Record<string, string>>;

const factor = { factor: "factor" };
const original = { originalMaxPositionEmbeddings: "original_max_position_embeddings" };
const attentionFactor = { attentionFactor: "attention_factor" };

/** The fields of one RoPE type: those it needs, and those it may have. */
const fieldsOf: Readonly<Record<RopeType, { readonly required: Names; readonly optional: Names }>> = {
  default: { required: {}, optional: {} },
  linear: { required: factor, optional: {} },
  dynamic: { required: factor, optional: {} },
  yarn: {
    required: { ...factor, ...original },
    optional: {
      ...attentionFactor,
      betaFast: "beta_fast",
      betaSlow: "beta_slow",
      mscale: "mscale",
      mscaleAllDim: "mscale_all_dim",
      truncate: "truncate",
    },
  },
  longrope: {
    required: { shortFactor: "short_factor", longFactor: "long_factor", ...original },
    optional: { ...attentionFactor, ...factor },
  },
  llama3: {
    required: { ...factor, ...original, lowFreqFactor: "low_freq_factor", highFreqFactor: "high_freq_factor" },
    optional: {},
  },
  proportional: { required: {}, optional: factor },
};

/** What every type has, and may have. */
const theta = { ropeTheta: "rope_theta" };
const share = { partialRotaryFactor: "partial_rotary_factor" };
const sections = { mropeSection: "mrope_section", mropeInterleaved: "mrope_interleaved" };

/**
 * Reads the fields of the RoPE type, in the spelling of transformers 4 (`rope_scaling`) or 5 (`rope_parameters`). `rope_theta`,
 * `partial_rotary_factor` and `original_max_position_embeddings` may also stand at the top level. Without either object, or with null there,
 * the type is "default": that is how version 4 writes it. The type "mrope" of old Qwen2-VL files is "default" with sections.
 * The values are checked by `checkConfig`.
 *
 * @throws ConfigError if a field is missing, unknown, or given twice with different values.
 */
export function ropeFromJson(config: JsonFields): RopeOptions {
  const loose: Record<string, unknown> = {};
  for (const field of Object.values({ ...theta, ...share, ...original })) {
    const value = config.optional(field);
    if (value !== undefined) loose[field] = value;
  }
  const nested = ["rope_scaling", "rope_parameters"].map((field) => asObject(field, config.optional(field)));
  const fields = new JsonFields("config.json: rope_parameters", merge([loose, ...nested]));
  const type = typeOf(
    fields,
    nested.every((part) => part === undefined),
  );
  const { required, optional } = fieldsOf[type];
  const read: Record<string, unknown> = { ropeType: type };
  for (const [name, field] of Object.entries({ ...theta, ...required })) read[name] = fields.required(field);
  for (const [name, field] of Object.entries({ ...optional, ...share, ...sections })) {
    const value = fields.optional(field);
    if (value !== undefined) read[name] = value;
  }
  fields.finish();
  // transformers reads these rules' context from the model's config.
  if (type === "dynamic" || (type === "longrope" && read.factor === undefined))
    read.maxPositionEmbeddings = config.required("max_position_embeddings");
  return read as unknown as RopeOptions;
}

/**
 * The fields of config.json for `rope`, under the names of transformers 4, which 5 translates, or under those that 5 writes.
 * `maxPositionEmbeddings` is left to the config, whose own it is.
 */
export function ropeToJson(rope: RopeOptions, transformers: 4 | 5): Record<string, unknown> {
  const { required, optional } = fieldsOf[rope.ropeType];
  const values = rope as unknown as Readonly<Record<string, unknown>>;
  const fields = (names: Names): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(names)
        .filter(([name]) => values[name] !== undefined)
        .map(([name, field]) => [field, values[name]]),
    );
  const scaling = { rope_type: rope.ropeType, ...fields({ ...required, ...optional, ...sections }) };
  const base = fields({ ...theta, ...share });
  if (transformers === 5) return { rope_parameters: { ...base, ...scaling } };
  const plain = rope.ropeType === "default" && rope.mropeSection === undefined;
  return { ...base, rope_scaling: plain ? null : scaling };
}

/** @throws ConfigError unless the type is known, or may be left out and is */
function typeOf(fields: JsonFields, mayBeAbsent: boolean): RopeType {
  const type = fields.either("rope_type", "type") ?? (mayBeAbsent ? "default" : undefined);
  if (type === "mrope") {
    fields.required(sections.mropeSection);
    return "default";
  }
  if (ropeTypes.includes(type as RopeType)) return type as RopeType;
  throw new ConfigError(`config.json: rope_type must be one of ${ropeTypes.join(", ")}, got ${JSON.stringify(type)}`);
}

function asObject(field: string, value: unknown): JsonObject | undefined {
  if (value === undefined || (typeof value === "object" && !Array.isArray(value)))
    return value as JsonObject | undefined;
  throw new ConfigError(`config.json: ${field} must be an object or null, got ${JSON.stringify(value)}`);
}

/** All fields of the parts; a field may stand in several if its values agree. Null counts as absent. */
function merge(parts: readonly (JsonObject | undefined)[]): JsonObject {
  const merged: Record<string, unknown> = {};
  for (const [field, value] of parts.flatMap((part) => Object.entries(part ?? {}))) {
    if (value === null) continue;
    if (Object.hasOwn(merged, field) && !sameJson(merged[field], value)) {
      throw new ConfigError(
        `config.json: ${field} must be the same wherever it stands (top level, rope_scaling, rope_parameters), ` +
          `got ${JSON.stringify(merged[field])} and ${JSON.stringify(value)}; remove one`,
      );
    }
    merged[field] = value;
  }
  return merged;
}
