// Which rotary position embedding a model uses: the `rope_parameters` of config.json in camelCase, with the rules its numbers must obey.
import { ConfigError } from "../../core/errors.js";

interface CommonRopeOptions {
  /** Base of the wavelengths: pair i turns once in about `2 pi ropeTheta^(2i/r)` tokens. Greater than 1. */
  readonly ropeTheta: number;
  /** Share of a head that is turned, in (0, 1]; its first `r = floor(headDim * partialRotaryFactor)` components. 1 if left out. */
  readonly partialRotaryFactor?: number;
  /** Multimodal RoPE: how many of the r/2 pairs turn by a token's place in time, in height and in width. They sum to r/2. */
  readonly mropeSection?: readonly [time: number, height: number, width: number];
  /** Whether the pairs of the three take turns (Qwen3-VL) instead of standing one section after the other (Qwen2-VL). False if left out. */
  readonly mropeInterleaved?: boolean;
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

/** NTK-aware scaling: a base that grows with the length of the text, so that fast pairs keep their speed. */
export interface DynamicRopeOptions extends CommonRopeOptions {
  readonly ropeType: "dynamic";
  /** How much the slowest pair is stretched per context length more. */
  readonly factor: number;
  /** Tokens of context that the model is made for; up to here nothing changes. In a model's config it is the config's own number. */
  readonly maxPositionEmbeddings: number;
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

/** LongRoPE (Ding et al. 2024): a divisor for each pair, found by search, one list for short texts and one for long ones. */
export interface LongropeRopeOptions extends CommonRopeOptions {
  readonly ropeType: "longrope";
  /** Divisors for texts of at most `originalMaxPositionEmbeddings` tokens, r/2 positive numbers. */
  readonly shortFactor: readonly number[];
  /** Divisors for longer ones. */
  readonly longFactor: readonly number[];
  /** Tokens of context before the extension; at least 2. */
  readonly originalMaxPositionEmbeddings: number;
  /** How many times the context grows. Left out: `maxPositionEmbeddings / originalMaxPositionEmbeddings`. */
  readonly factor?: number;
  /** Tokens of context after the extension; only needed where `factor` and `attentionFactor` are left out. */
  readonly maxPositionEmbeddings?: number;
  /** Multiplies cosines and sines. Left out: `sqrt(1 + ln factor / ln originalMaxPositionEmbeddings)`, or 1 for a factor up to 1. */
  readonly attentionFactor?: number;
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

/**
 * The rule of Gemma 4: of the pairs of the whole head, only the fastest `floor(partialRotaryFactor headDim / 2)` turn; here that factor may
 * be 0. The wavelengths are those of the whole head, and so are the partners: (i, i + headDim/2).
 */
export interface ProportionalRopeOptions extends CommonRopeOptions {
  readonly ropeType: "proportional";
  /** Divides every frequency. 1 if left out. */
  readonly factor?: number;
}

export type RopeOptions =
  | DefaultRopeOptions
  | LinearRopeOptions
  | DynamicRopeOptions
  | YarnRopeOptions
  | LongropeRopeOptions
  | Llama3RopeOptions
  | ProportionalRopeOptions;
export type RopeType = RopeOptions["ropeType"];

export const ropeTypes: readonly RopeType[] = [
  "default",
  "linear",
  "dynamic",
  "yarn",
  "longrope",
  "llama3",
  "proportional",
];

/**
 * How many components of a head have a place in the table: `r = floor(headDim * partialRotaryFactor)`, and all of them for "proportional",
 * where the pairs that stand still have frequency 0.
 *
 * @throws ConfigError if headDim is no positive even integer, or r is odd or 0: components turn in pairs.
 */
export function rotaryDim(headDim: number, options: RopeOptions): number {
  if (!Number.isSafeInteger(headDim) || headDim <= 0 || headDim % 2 !== 0) {
    throw new ConfigError(`rope: headDim must be a positive even integer, got ${headDim}`);
  }
  if (options.ropeType === "proportional") return headDim;
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
  const standing = options.ropeType === "proportional";
  checkGiven("partialRotaryFactor", options.partialRotaryFactor, `a number in ${standing ? "[" : "("}0, 1]`, (x) => {
    return (standing ? x >= 0 : x > 0) && x <= 1;
  });
  const rotary = rotaryDim(headDim, options);
  checkSections(rotary / 2, options);
  if (options.ropeType === "default") return options;
  const mayLackFactor = standing || options.ropeType === "longrope";
  if (!mayLackFactor || options.factor !== undefined)
    check("factor", options.factor as number, "a number of at least 1", (x) => x >= 1);
  if (options.ropeType === "dynamic") checkDynamic(rotary, options);
  if (options.ropeType === "yarn") checkYarn(options);
  if (options.ropeType === "longrope") checkLongrope(rotary / 2, options);
  if (options.ropeType === "llama3") checkLlama3(options);
  return options;
}

function checkSections(pairs: number, { mropeSection: section, mropeInterleaved }: RopeOptions): void {
  if (mropeInterleaved !== undefined) checkBoolean("mropeInterleaved", mropeInterleaved);
  if (section === undefined) {
    if (mropeInterleaved === undefined) return;
    throw new ConfigError("rope.mropeInterleaved: must stand beside mropeSection, got it alone; add mropeSection");
  }
  const fits =
    Array.isArray(section) && section.length === 3 && section.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (fits && section[0] + section[1] + section[2] === pairs) return;
  throw new ConfigError(
    `rope.mropeSection: must be three integers of at least 0 that sum to the ${pairs} pairs, got ${JSON.stringify(section)}`,
  );
}

function checkDynamic(rotary: number, options: DynamicRopeOptions): void {
  checkContext("maxPositionEmbeddings", options.maxPositionEmbeddings);
  if (rotary > 2) return;
  throw new ConfigError("rope.ropeType: must not be dynamic where 2 components turn: their speed has no base");
}

function checkYarn(options: YarnRopeOptions): void {
  const { originalMaxPositionEmbeddings, attentionFactor, betaFast = 32, betaSlow = 1, mscale, mscaleAllDim } = options;
  checkContext("originalMaxPositionEmbeddings", originalMaxPositionEmbeddings);
  checkGiven("attentionFactor", attentionFactor, "a positive number", isPositive);
  check("betaFast", betaFast, "a positive number", isPositive);
  check("betaSlow", betaSlow, `a positive number, at most betaFast = ${betaFast}`, (x) => x > 0 && x <= betaFast);
  checkGiven("mscale", mscale, "a number of at least 0", (x) => x >= 0);
  checkGiven("mscaleAllDim", mscaleAllDim, "a number of at least 0", (x) => x >= 0);
  if (options.truncate !== undefined) checkBoolean("truncate", options.truncate);
}

function checkLongrope(pairs: number, options: LongropeRopeOptions): void {
  const { originalMaxPositionEmbeddings, factor, maxPositionEmbeddings, attentionFactor } = options;
  for (const field of ["shortFactor", "longFactor"] as const) {
    const list: unknown = options[field];
    if (Array.isArray(list) && list.length === pairs && list.every((x) => Number.isFinite(x) && x > 0)) continue;
    throw new ConfigError(
      `rope.${field}: must be a list of ${pairs} positive numbers, one per pair, got ${JSON.stringify(list)}`,
    );
  }
  checkContext("originalMaxPositionEmbeddings", originalMaxPositionEmbeddings, 2);
  if (maxPositionEmbeddings !== undefined) checkContext("maxPositionEmbeddings", maxPositionEmbeddings);
  checkGiven("attentionFactor", attentionFactor, "a positive number", isPositive);
  if ((attentionFactor ?? factor ?? maxPositionEmbeddings) !== undefined) return;
  throw new ConfigError("rope.factor: must be given, or maxPositionEmbeddings or attentionFactor in its place");
}

function checkLlama3(options: Llama3RopeOptions): void {
  const { originalMaxPositionEmbeddings, lowFreqFactor: low, highFreqFactor: high } = options;
  checkContext("originalMaxPositionEmbeddings", originalMaxPositionEmbeddings);
  check("lowFreqFactor", low, "a positive number", isPositive);
  check("highFreqFactor", high, `a number greater than lowFreqFactor = ${low}`, (x) => x > low);
}

const isPositive = (value: number): boolean => value > 0;

function checkContext(field: string, tokens: number, least = 1): void {
  check(field, tokens, `an integer of at least ${least}`, (x) => Number.isSafeInteger(x) && x >= least);
}

function checkBoolean(field: string, value: unknown): void {
  if (typeof value !== "boolean") throw new ConfigError(`rope.${field}: must be true or false, got ${String(value)}`);
}

function checkGiven(field: string, value: number | undefined, rule: string, holds: (value: number) => boolean): void {
  if (value !== undefined) check(field, value, rule, holds);
}

function check(field: string, value: number, rule: string, holds: (value: number) => boolean): void {
  if (typeof value === "number" && Number.isFinite(value) && holds(value)) return;
  throw new ConfigError(`rope.${field}: must be ${rule}, got ${String(value)}`);
}
