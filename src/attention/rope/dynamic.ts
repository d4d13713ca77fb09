// RoPE by dynamic NTK scaling: beyond the model's context the base grows with the length, so that fast pairs keep their speed.
import { ConfigError } from "../../core/errors.js";
import { defaultFrequencies, type RopeFrequencies } from "./default.js";
import { rotaryDim, type DynamicRopeOptions } from "./rope-options.js";

/**
 * With s = factor, P = maxPositionEmbeddings and L = max(length, P), the plain frequencies of the base
 *
 *     theta' = theta (s L / P - (s - 1))^(r / (r - 2))
 *
 * which is theta itself where L = P, and divides the slowest frequency by `s L / P - (s - 1)`. (NTK-aware interpolation, posted by bloc97 and
 * emozilla in 2023; transformers: _compute_dynamic_ntk_parameters.) The base is computed in f64 and rounded to f32.
 *
 * @throws ConfigError if the length is no number of tokens: a base for texts without end does not exist.
 */
export function dynamicFrequencies(headDim: number, options: DynamicRopeOptions, length: number): RopeFrequencies {
  const { ropeTheta, factor, maxPositionEmbeddings: context } = options;
  const rotary = rotaryDim(headDim, options);
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new ConfigError(
      `rope: dynamic needs a length that is an integer of at least 0, got ${length}; bound the cache`,
    );
  }
  const stretch = (factor * Math.max(length, context)) / context - (factor - 1);
  return defaultFrequencies(headDim, { ...options, ropeTheta: ropeTheta * stretch ** (rotary / (rotary - 2)) });
}
