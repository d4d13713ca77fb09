// RoPE by LongRoPE: every pair has a divisor of its own, one for short texts and one for long ones.
import { wavelengths, type RopeFrequencies } from "./default.js";
import type { LongropeRopeOptions } from "./rope-options.js";

/**
 * `1 / (f_i theta^(2i/r))`, where f is longFactor for lengths over originalMaxPositionEmbeddings, else shortFactor. (Ding et al. 2024;
 * transformers: _compute_longrope_parameters.) Rounded to f32 after each step. The attention factor is the same for both lists.
 */
export function longropeFrequencies(headDim: number, options: LongropeRopeOptions, length: number): RopeFrequencies {
  const f32 = Math.fround;
  const divisors = length > options.originalMaxPositionEmbeddings ? options.longFactor : options.shortFactor;
  const inverseFrequencies = wavelengths(headDim, options).map((w, i) => 1 / f32(f32(divisors[i]) * w));
  return { inverseFrequencies, attentionFactor: attentionFactorOf(options) };
}

/** The given one; else 1 for s up to 1 and `sqrt(1 + ln s / ln P0)` above; s = factor or maxPositionEmbeddings / P0. */
function attentionFactorOf(options: LongropeRopeOptions): number {
  const { attentionFactor, originalMaxPositionEmbeddings: original, maxPositionEmbeddings = original } = options;
  if (attentionFactor !== undefined) return attentionFactor;
  const { factor = maxPositionEmbeddings / original } = options;
  return factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
}
