// RoPE options from and to config.json, which has carried them in three ways: `rope_theta`, `rope_scaling` beside it, or `rope_parameters`.
import { ropeTypes, type RopeOptions, type RopeType } from "../attention/rope/rope-options.js";
import { ConfigError } from "../core/errors.js";
import { JsonFields, sameJson, type JsonObject } from "./json-fields.js";

const yarnFields = {
  attentionFactor: "attention_factor",
  betaFast: "beta_fast",
  betaSlow: "beta_slow",
  mscale: "mscale",
  mscaleAllDim: "mscale_all_dim",
  truncate: "truncate",
} as const;

/** The fields of one RoPE type: those it needs, and those it may have. */
const fieldsOf: Readonly<
  Record<RopeType, Readonly<Record<"required" | "optional", Readonly<Record<string, string>>>>>
> = {
  default: { required: {}, optional: {} },
  linear: { required: { factor: "factor" }, optional: {} },
  yarn: {
    required: { factor: "factor", originalMaxPositionEmbeddings: "original_max_position_embeddings" },
    optional: yarnFields,
  },
  llama3: {
    required: {
      factor: "factor",
      originalMaxPositionEmbeddings: "original_max_position_embeddings",
      lowFreqFactor: "low_freq_factor",
      highFreqFactor: "high_freq_factor",
    },
    optional: {},
  },
};

/**
 * Reads `rope_theta` and `partial_rotary_factor` wherever they stand, and the rest from `rope_scaling` (transformers 4) or
 * `rope_parameters` (5). Without either of these two, or with null there, the type is "default": that is how version 4 writes it.
 * The values are checked by `checkConfig`.
 *
 * @throws ConfigError if a field is missing, unknown, or given twice with different values.
 */
export function ropeFromJson(config: JsonFields): RopeOptions {
  const loose: Record<string, unknown> = {};
  for (const field of ["rope_theta", "partial_rotary_factor"]) {
    const value = config.optional(field);
    if (value !== undefined) loose[field] = value;
  }
  const nested = ["rope_scaling", "rope_parameters"].map((field) => asObject(field, config.optional(field)));
  const fields = new JsonFields("config.json: rope_parameters", merge([loose, ...nested]));
  const type =
    fields.either("rope_type", "type") ?? (nested.every((part) => part === undefined) ? "default" : undefined);
  if (!ropeTypes.includes(type as RopeType)) {
    throw new ConfigError(`config.json: rope_type must be one of ${ropeTypes.join(", ")}, got ${JSON.stringify(type)}`);
  }
  const { required, optional } = fieldsOf[type as RopeType];
  const read: Record<string, unknown> = { ropeType: type, ropeTheta: fields.required("rope_theta") };
  for (const [name, field] of Object.entries(required)) read[name] = fields.required(field);
  for (const [name, field] of [...Object.entries(optional), ["partialRotaryFactor", "partial_rotary_factor"]]) {
    const value = fields.optional(field);
    if (value !== undefined) read[name] = value;
  }
  fields.finish();
  return read as unknown as RopeOptions;
}

/** The fields of config.json for `rope`, under the names of transformers 4, which 5 translates. */
export function ropeToJson(rope: RopeOptions): Record<string, unknown> {
  const { ropeTheta, partialRotaryFactor, ...rest } = rope;
  const json: Record<string, unknown> = { rope_theta: ropeTheta, rope_scaling: null };
  if (partialRotaryFactor !== undefined) json.partial_rotary_factor = partialRotaryFactor;
  if (rest.ropeType === "default") return json;
  const { required, optional } = fieldsOf[rest.ropeType];
  const names: Readonly<Record<string, string>> = { ropeType: "rope_type", ...required, ...optional };
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  json.rope_scaling = Object.fromEntries(given.map(([name, value]) => [names[name], value]));
  return json;
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
