// RoPE by proportion: the fastest pairs of the whole head turn, the others stand still. The rule of Gemma 4.
import { wavelengths, type RopeFrequencies } from "./default.js";
import type { ProportionalRopeOptions } from "./rope-options.js";

/**
 * `theta^(-2i/d) / factor` for `i < floor(partialRotaryFactor d / 2)`, d = headDim, and 0 for the pairs after these. Unlike a partial rotation,
 * exponents and partners are those of the whole head. (transformers: _compute_proportional_rope_parameters.) Rounded to f32 after each step.
 */
export function proportionalFrequencies(headDim: number, options: ProportionalRopeOptions): RopeFrequencies {
  const { partialRotaryFactor = 1, factor = 1 } = options;
  const turning = Math.floor((partialRotaryFactor * headDim) / 2);
  const inverseFrequencies = wavelengths(headDim, options).map((w, i) =>
    i < turning ? Math.fround(1 / w) / Math.fround(factor) : 0,
  );
  return { inverseFrequencies, attentionFactor: 1 };
}
