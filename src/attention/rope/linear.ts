// RoPE by position interpolation: the whole context is squeezed into the length the model was trained on.
import { defaultFrequencies, type RopeFrequencies } from "./default.js";
import type { LinearRopeOptions } from "./rope-options.js";

/** `w_i / factor` (Chen et al. 2023; transformers: _compute_linear_scaling_rope_parameters). Rounded to f32 after each step. */
export function linearFrequencies(headDim: number, options: LinearRopeOptions): RopeFrequencies {
  const { inverseFrequencies, attentionFactor } = defaultFrequencies(headDim, options);
  return { inverseFrequencies: inverseFrequencies.map((w) => w / Math.fround(options.factor)), attentionFactor };
}
