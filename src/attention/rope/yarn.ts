// RoPE by YaRN: pairs that turn often within the original context keep their speed, slow ones are interpolated.
import { wavelengths, type RopeFrequencies } from "./default.js";
import { rotaryDim, type YarnRopeOptions } from "./rope-options.js";

/**
 * With s = factor, P0 = originalMaxPositionEmbeddings and w_i the plain frequency:
 *
 *     corr(n) = r ln(P0 / (2 pi n)) / (2 ln theta)                    the pair that turns n times within P0
 *     lo = max(floor corr(betaFast), 0), hi = min(ceil corr(betaSlow), r - 1)       (no rounding if not `truncate`)
 *     ramp_i = clip((i - lo) / (hi - lo), 0, 1)
 *     frequency_i = (w_i / s) ramp_i + w_i (1 - ramp_i)
 *
 * (Peng et al. 2023; transformers: _compute_yarn_parameters.) Each step is rounded to f32 where torch does so. It does not depend on the
 * current length: short prompts are rescaled as well.
 */
export function yarnFrequencies(headDim: number, options: YarnRopeOptions): RopeFrequencies {
  const f32 = Math.fround;
  const { low, high } = rampEnds(rotaryDim(headDim, options), options);
  const inverseFrequencies = wavelengths(headDim, options).map((wavelength, i) => {
    const kept = f32(1 / wavelength);
    const interpolated = f32(1 / f32(f32(options.factor) * wavelength));
    const ramp = Math.min(Math.max(f32(f32(i - f32(low)) / f32(high - low)), 0), 1);
    const keep = f32(1 - ramp);
    return f32(interpolated * f32(1 - keep)) + f32(kept * keep);
  });
  return { inverseFrequencies, attentionFactor: attentionFactorOf(options) };
}

/** Pair indices where interpolation begins and where it is complete. */
function rampEnds(rotary: number, options: YarnRopeOptions): { readonly low: number; readonly high: number } {
  const { ropeTheta, originalMaxPositionEmbeddings, betaFast = 32, betaSlow = 1, truncate = true } = options;
  const pairTurning = (turns: number): number =>
    (rotary * Math.log(originalMaxPositionEmbeddings / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
  const fast = pairTurning(betaFast);
  const slow = pairTurning(betaSlow);
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, rotary - 1);
  return { low, high: high === low ? high + 0.001 : high };
}

/** The given one; else `m(mscale) / m(mscaleAllDim)` if both are given and not 0; else `m(1)`; with `m(c) = 0.1 c ln factor + 1`. */
function attentionFactorOf({ factor, attentionFactor, mscale, mscaleAllDim }: YarnRopeOptions): number {
  if (attentionFactor !== undefined) return attentionFactor;
  const m = (c: number): number => (factor <= 1 ? 1 : 0.1 * c * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? m(mscale) / m(mscaleAllDim) : m(1);
}
