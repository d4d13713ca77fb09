// A checking reader for objects of config.json: what is missing, contradictory or unknown is an error that names the field.
import { ConfigError } from "../core/errors.js";

/** An object of config.json whose values are not checked yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What to do about the fields that transformers fills with a default which is wrong for every released model. */
const advice: Readonly<Record<string, string>> = {
  head_dim:
    "; add it, it is the number of rows of q_proj.weight divided by num_attention_heads (128 in released models)",
  norm_topk_prob: "; add it, it is true in every released model and false in the reference class",
};

/** A reader that remembers which fields were asked for. */
export class JsonFields {
  readonly #json: JsonObject;
  readonly #where: string;
  readonly #known = new Set<string>();

  constructor(where: string, json: JsonObject) {
    this.#where = where;
    this.#json = json;
  }

  /** The value, or undefined if the field is missing or null. */
  optional(field: string): unknown {
    this.#known.add(field);
    return this.#json[field] ?? undefined;
  }

  required(field: string): unknown {
    const value = this.optional(field);
    if (value !== undefined) return value;
    throw new ConfigError(`${this.#where}: ${field} must be given${advice[field] ?? ""}`);
  }

  /** The value of two spellings of one field; they must not contradict each other. */
  either(field: string, alias: string): unknown {
    const [value, other] = [this.optional(field), this.optional(alias)];
    if (value !== undefined && other !== undefined && !sameJson(value, other)) {
      throw new ConfigError(
        `${this.#where}: ${field} and ${alias} mean the same and must agree, ` +
          `got ${JSON.stringify(value)} and ${JSON.stringify(other)}; remove one`,
      );
    }
    return value ?? other;
  }

  /** Throws if there are fields that nothing asked for. */
  finish(): void {
    const unknown = Object.keys(this.#json).filter((field) => !this.#known.has(field));
    if (unknown.length === 0) return;
    throw new ConfigError(
      `${this.#where}: every field must be known, got ${unknown.join(", ")}; a field that does not change the model can be deleted`,
    );
  }
}

/** Whether two values of JSON are equal, whatever the order of their keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b;
  const [x, y] = [a as JsonObject, b as JsonObject];
  const keys = Object.keys(x);
  return (
    keys.length === Object.keys(y).length && keys.every((key) => Object.hasOwn(y, key) && sameJson(x[key], y[key]))
  );
}
