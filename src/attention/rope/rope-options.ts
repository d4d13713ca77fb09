// Which rotary position embedding a model uses: the `rope_parameters` of config.json in camelCase, with the rules its numbers must obey.
import { ConfigError } from "../../core/errors.js";

interface CommonRopeOptions {
  /** Base of the wavelengths: pair i turns once in about `2 pi ropeTheta^(2i/r)` tokens. Greater than 1. */
  readonly ropeTheta: number;
  /** Share of a head that is turned, in (0, 1]; its first `r = floor(headDim * partialRotaryFactor)` components. 1 if left out. */
  readonly partialRotaryFactor?: number;
}

/** Plain RoPE (Su et al. 2021, RoFormer). */
export interface DefaultRopeOptions extends CommonRopeOptions {
  readonly ropeType: "default";
}

/** Position interpolation (Chen et al. 2023): every frequency divided by `factor`. */
export interface LinearRopeOptions extends CommonRopeOptions {
  readonly ropeType: "linear";
  readonly factor: number;
}

/** YaRN (Peng et al. 2023): fast pairs keep their frequency, slow ones are interpolated, with a ramp between. */
export interface YarnRopeOptions extends CommonRopeOptions {
  readonly ropeType: "yarn";
  /** How many times the context grows. */
  readonly factor: number;
  /** Tokens of context before the extension. */
  readonly originalMaxPositionEmbeddings: number;
  /** Multiplies cosines and sines, hence scores by its square. Left out: from `mscale` and `mscaleAllDim`, or `0.1 ln factor + 1`. */
  readonly attentionFactor?: number;
  /** Turns within the original context above which a pair keeps its frequency. 32 if left out. */
  readonly betaFast?: number;
  /** Turns below which a pair is fully interpolated. 1 if left out. */
  readonly betaSlow?: number;
  /** With `mscaleAllDim`, and both not 0: attention factor = `m(mscale) / m(mscaleAllDim)`, `m(c) = 0.1 c ln factor + 1`. */
  readonly mscale?: number;
  readonly mscaleAllDim?: number;
  /** Whether the ends of the ramp are rounded outwards to whole pairs. True if left out. */
  readonly truncate?: boolean;
}

/** The rule of Llama 3.1: long wavelengths divided by `factor`, short ones kept, those between blended. */
export interface Llama3RopeOptions extends CommonRopeOptions {
  readonly ropeType: "llama3";
  readonly factor: number;
  readonly originalMaxPositionEmbeddings: number;
  /** Wavelengths above `originalMaxPositionEmbeddings / lowFreqFactor` are divided by `factor`. */
  readonly lowFreqFactor: number;
  /** Wavelengths below `originalMaxPositionEmbeddings / highFreqFactor` are kept. */
  readonly highFreqFactor: number;
}

export type RopeOptions = DefaultRopeOptions | LinearRopeOptions | YarnRopeOptions | Llama3RopeOptions;
export type RopeType = RopeOptions["ropeType"];

export const ropeTypes: readonly RopeType[] = ["default", "linear", "yarn", "llama3"];

/**
 * How many components of a head are turned: `r = floor(headDim * partialRotaryFactor)`.
 *
 * @throws ConfigError if headDim is no positive even integer, or r is odd or 0: components turn in pairs.
 */
export function rotaryDim(headDim: number, options: RopeOptions): number {
  if (!Number.isSafeInteger(headDim) || headDim <= 0 || headDim % 2 !== 0) {
    throw new ConfigError(`rope: headDim must be a positive even integer, got ${headDim}`);
  }
  const rotary = Math.floor(headDim * (options.partialRotaryFactor ?? 1));
  if (rotary > 0 && rotary % 2 === 0) return rotary;
  throw new ConfigError(
    `rope: floor(headDim * partialRotaryFactor) must be a positive even integer, ` +
      `got ${rotary} from ${headDim} * ${options.partialRotaryFactor}; components turn in pairs`,
  );
}

/**
 * Checks every number of `options` and their fit to `headDim`.
 *
 * @throws ConfigError that names the field.
 */
export function checkRopeOptions(headDim: number, options: RopeOptions): RopeOptions {
  if (typeof options !== "object" || options === null || !ropeTypes.includes(options.ropeType)) {
    throw new ConfigError(`rope.ropeType: must be one of ${ropeTypes.join(", ")}, got ${options?.ropeType}`);
  }
  check("ropeTheta", options.ropeTheta, "a number greater than 1", (x) => x > 1);
  const share = options.partialRotaryFactor;
  if (share !== undefined) check("partialRotaryFactor", share, "a number in (0, 1]", (x) => x > 0 && x <= 1);
  if (options.ropeType !== "default") check("factor", options.factor, "a number of at least 1", (x) => x >= 1);
  if (options.ropeType === "yarn") checkYarn(options);
  if (options.ropeType === "llama3") checkLlama3(options);
  rotaryDim(headDim, options);
  return options;
}

function checkYarn(options: YarnRopeOptions): void {
  const { originalMaxPositionEmbeddings, attentionFactor, betaFast = 32, betaSlow = 1, mscale, mscaleAllDim } = options;
  checkContext(originalMaxPositionEmbeddings);
  if (attentionFactor !== undefined) check("attentionFactor", attentionFactor, "a positive number", (x) => x > 0);
  check("betaFast", betaFast, "a positive number", (x) => x > 0);
  check("betaSlow", betaSlow, `a positive number, at most betaFast = ${betaFast}`, (x) => x > 0 && x <= betaFast);
  if (mscale !== undefined) check("mscale", mscale, "a number of at least 0", (x) => x >= 0);
  if (mscaleAllDim !== undefined) check("mscaleAllDim", mscaleAllDim, "a number of at least 0", (x) => x >= 0);
  if (options.truncate !== undefined && typeof options.truncate !== "boolean") {
    throw new ConfigError(`rope.truncate: must be true or false, got ${String(options.truncate)}`);
  }
}

function checkLlama3(options: Llama3RopeOptions): void {
  const { originalMaxPositionEmbeddings, lowFreqFactor: low, highFreqFactor: high } = options;
  checkContext(originalMaxPositionEmbeddings);
  check("lowFreqFactor", low, "a positive number", (x) => x > 0);
  check("highFreqFactor", high, `a number greater than lowFreqFactor = ${low}`, (x) => x > low);
}

function checkContext(tokens: number): void {
  check("originalMaxPositionEmbeddings", tokens, "a positive integer", (x) => Number.isSafeInteger(x) && x > 0);
}

function check(field: string, value: number, rule: string, holds: (value: number) => boolean): void {
  if (typeof value === "number" && Number.isFinite(value) && holds(value)) return;
  throw new ConfigError(`rope.${field}: must be ${rule}, got ${String(value)}`);
}
