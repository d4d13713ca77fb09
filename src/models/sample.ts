// Chooses the next token on the host, usually from the best few logits alone, so that a step reads 2 KB back and not the vocabulary.
import { ConfigError, FormatError, ShapeError } from "../core/errors.js";

/** How to choose a token. Applied as transformers does: temperature, then topK, topP and minP. */
export interface SamplingOptions {
  /** Divides the logits; 0 takes the best token, the lower id on ties. 1 if left out. */
  readonly temperature?: number;
  /** Keeps the k most likely tokens, exactly k: the lower id wins a tie at the border (transformers keeps all that tie). */
  readonly topK?: number;
  /** Keeps the fewest tokens whose probability sums to it, in (0, 1]. 1 keeps all. */
  readonly topP?: number;
  /** Keeps tokens at least this times as likely as the best one, in [0, 1]. */
  readonly minP?: number;
}

/** The best n tokens of a row of logits, best first, equal ones by id: what the `topK` op gives. */
export interface Candidates {
  /** [n], descending. */
  readonly logits: Float32Array;
  /** [n] */
  readonly ids: Int32Array;
}

/** Checks the options; returns them. @throws ConfigError that names the option. */
export function checkSampling(options: SamplingOptions): SamplingOptions {
  const { temperature = 1, topK = 1, topP = 1, minP = 0 } = options;
  check("temperature", temperature, "a number of at least 0", temperature >= 0);
  check("topK", topK, "a positive integer", Number.isSafeInteger(topK) && topK > 0);
  check("topP", topP, "a number in (0, 1]", topP > 0 && topP <= 1);
  check("minP", minP, "a number in [0, 1]", minP >= 0 && minP <= 1);
  return options;
}

/**
 * Chooses a token id by inverting the distribution's sum at `u`: over the kept tokens, best first, the first at which the running sum of
 * probabilities exceeds u. Every filter keeps a prefix of that order, so the best n tokens decide as soon as they hold the whole prefix.
 *
 * The answer for short candidates, where there is one, is the answer for the full row. So draw u once:
 *
 *     const u = random.uniform();
 *     const id = sampleFrom(best256, logSumExp, V, options, u) ?? sampleFrom(rankRow(await row.data()), logSumExp, V, options, u)!;
 *
 * @param logSumExp `ln sum exp(logit / temperature)` over the full row, also when the candidates are the full row. It counts only where
 *   neither temperature 0 nor topK makes the rest of the row irrelevant.
 * @param vocabSize length of the full row, V.
 * @param u uniform in [0, 1).
 * @returns the id; undefined if it depends on logits that are not among the candidates, which cannot happen with the full row.
 * @throws ConfigError if an option or u is out of range; ShapeError if the candidates are empty or more than V; FormatError if the best
 *   logit is not finite, one is NaN, or logSumExp is needed and does not fit.
 */
export function sampleFrom(
  candidates: Candidates,
  logSumExp: number,
  vocabSize: number,
  options: SamplingOptions,
  u: number,
): number | undefined {
  checkSampling(options);
  check("u", u, "a number in [0, 1)", u >= 0 && u < 1);
  checkCandidates(candidates, vocabSize);
  const { temperature = 1, topK = vocabSize, topP = 1, minP = 0 } = options;
  const { logits, ids } = candidates;
  if (temperature === 0) return ids[0];

  const limit = Math.min(topK, vocabSize);
  const held = Math.min(limit, logits.length);
  const weights = Float64Array.from({ length: held }, (_, i) => Math.exp((logits[i] - logits[0]) / temperature));
  // The weight of all tokens that topK lets through, where it can be known from here.
  const mass =
    limit === vocabSize ? fullMass(logSumExp, logits[0] / temperature) : limit === held ? sum(weights) : undefined;

  if (mass === undefined && topP < 1) return undefined;
  const kept = countKept(weights, mass === undefined || topP === 1 ? Infinity : topP * mass, minP);
  if (kept < held) return pick(weights.subarray(0, kept), u * sum(weights.subarray(0, kept)), ids);
  if (mass === undefined) return undefined;
  if (held === limit) return pick(weights, u * mass, ids);
  // The filters may keep more than is held here; without filters the total is known, and the draw may still fall inside.
  const unfiltered = topP === 1 && minP === 0;
  return unfiltered && u * mass < sum(weights) ? pick(weights, u * mass, ids) : undefined;
}

/**
 * A full row of logits [V] as candidates: sorted descending, equal logits by id.
 *
 * @throws FormatError if a logit is NaN.
 */
export function rankRow(logits: Float32Array): Candidates {
  const nan = logits.findIndex(Number.isNaN);
  if (nan >= 0)
    throw new FormatError(`rankRow: logits must be numbers, got NaN for token ${nan}; the weights are broken`);
  const ids = Int32Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
  return { logits: Float32Array.from(ids, (id) => logits[id]), ids };
}

/** How many weights, from the first on, pass topP (the mass before them is below `nucleus`) and minP (relative to the first weight, 1). */
function countKept(weights: Float64Array, nucleus: number, minP: number): number {
  let before = 0;
  for (let i = 0; i < weights.length; i++) {
    if (i > 0 && (before >= nucleus || weights[i] < minP)) return i;
    before += weights[i];
  }
  return weights.length;
}

/** The id at which the running sum exceeds `threshold`; the last possible one if rounding keeps it below. */
function pick(weights: Float64Array, threshold: number, ids: Int32Array): number {
  let running = 0;
  let last = 0;
  for (let i = 0; i < weights.length && running <= threshold; i++) {
    running += weights[i];
    if (weights[i] > 0) last = i;
  }
  return ids[last];
}

/** The weight of the whole row, relative to the best token's. */
function fullMass(logSumExp: number, best: number): number {
  const mass = Math.exp(logSumExp - best);
  if (Number.isFinite(mass) && mass > 0) return mass;
  throw new FormatError(
    `sampleFrom: logSumExp must be that of all logits / temperature, got ${logSumExp} where the best is ${best}`,
  );
}

function sum(weights: Float64Array): number {
  return weights.reduce((total, weight) => total + weight, 0);
}

function checkCandidates({ logits, ids }: Candidates, vocabSize: number): void {
  if (logits.length !== ids.length || logits.length === 0 || logits.length > vocabSize) {
    throw new ShapeError(
      `sampleFrom: candidates must be 1 to ${vocabSize} logits and as many ids, got ${logits.length} and ${ids.length}`,
    );
  }
  if (Number.isFinite(logits[0]) && !Number.isNaN(logits[logits.length - 1])) return;
  throw new FormatError(
    `sampleFrom: the best logit must be finite and none NaN, got ${logits[0]} to ${logits[logits.length - 1]}; the weights are broken`,
  );
}

function check(option: string, value: number, rule: string, holds: boolean): void {
  if (Number.isFinite(value) && holds) return;
  throw new ConfigError(`sampling: ${option} must be ${rule}, got ${value}`);
}
