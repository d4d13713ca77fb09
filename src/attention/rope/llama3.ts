// RoPE by the rule of Llama 3.1: only wavelengths that the original context could not hold are stretched.
import { defaultFrequencies, type RopeFrequencies } from "./default.js";
import type { Llama3RopeOptions } from "./rope-options.js";

/**
 * With wavelength `l = 2 pi / w_i` and P0 = originalMaxPositionEmbeddings: `w_i` if `l < P0 / highFreqFactor`; `w_i / factor` if
 * `l > P0 / lowFreqFactor`; else `(1 - t) w_i / factor + t w_i` with `t = (P0 / l - lowFreqFactor) / (highFreqFactor - lowFreqFactor)`.
 * (transformers: _compute_llama3_parameters.) Rounded to f32 after each step, as torch does.
 */
export function llama3Frequencies(headDim: number, options: Llama3RopeOptions): RopeFrequencies {
  const f32 = Math.fround;
  const { factor, originalMaxPositionEmbeddings: context, lowFreqFactor: low, highFreqFactor: high } = options;
  const { inverseFrequencies, attentionFactor } = defaultFrequencies(headDim, options);
  const scaled = inverseFrequencies.map((w) => {
    const wavelength = f32(f32(2 * Math.PI) / w);
    if (wavelength < context / high) return w;
    const stretched = f32(w / f32(factor));
    if (wavelength > context / low) return stretched;
    const t = f32(f32(f32(context / wavelength) - f32(low)) / f32(high - low));
    return f32(f32(f32(1 - t) * w) / f32(factor)) + f32(t * w);
  });
  return { inverseFrequencies: scaled, attentionFactor };
}
