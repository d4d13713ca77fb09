// Plain RoPE frequencies, from which every other rule starts.
import { rotaryDim, type RopeOptions } from "./rope-options.js";

/** The turning speeds of one rule. */
export interface RopeFrequencies {
  /** [r/2], radians per token, of the pairs (i, i + r/2) of a head. */
  readonly inverseFrequencies: Float32Array<ArrayBuffer>;
  /** Multiplies the cosines and the sines. */
  readonly attentionFactor: number;
}

/**
 * `w_i = 1 / theta^(2i/r)` for i < r/2, r = {@link rotaryDim} (RoFormer, Su et al. 2021; transformers: Qwen3RotaryEmbedding).
 *
 * Base, exponent, power and reciprocal are each rounded to f32, as torch computes them: rounding once instead moves a frequency by up to 5
 * units in the last place, which at position 40,000 is an angle off by 0.01.
 */
export function defaultFrequencies(headDim: number, options: RopeOptions): RopeFrequencies {
  return { inverseFrequencies: wavelengths(headDim, options).map((w) => 1 / w), attentionFactor: 1 };
}

/** `theta^(2i/r)`, [r/2], in f32: the wavelength of a pair, in tokens per radian. */
export function wavelengths(headDim: number, options: RopeOptions): Float32Array<ArrayBuffer> {
  const rotary = rotaryDim(headDim, options);
  const base = Math.fround(options.ropeTheta);
  return Float32Array.from({ length: rotary / 2 }, (_, i) => base ** Math.fround((2 * i) / rotary));
}
