// From rope options to turning speeds, and from those to the table of cosines and sines that kernels read. Host arithmetic only.
import { ConfigError } from "../../core/errors.js";
import { defaultFrequencies, type RopeFrequencies } from "./default.js";
import { dynamicFrequencies } from "./dynamic.js";
import { linearFrequencies } from "./linear.js";
import { llama3Frequencies } from "./llama3.js";
import { longropeFrequencies } from "./longrope.js";
import { proportionalFrequencies } from "./proportional.js";
import { checkRopeOptions, type RopeOptions } from "./rope-options.js";
import { yarnFrequencies } from "./yarn.js";

/**
 * The turning speeds of a model's heads: r/2 frequencies in radians per token, and the factor on cosines and sines.
 *
 * @param length how many tokens the text may come to hold, which "dynamic" and "longrope" depend on: a cache's `maxLength`, or the tokens of a
 *   pass without a cache. If left out, the frequencies of texts within the model's original context.
 * @throws ConfigError if an option is out of range, headDim or the turned part of it is odd, or "dynamic" gets a length without end.
 */
export function ropeFrequencies(headDim: number, options: RopeOptions, length = 0): RopeFrequencies {
  checkRopeOptions(headDim, options);
  switch (options.ropeType) {
    case "default":
      return defaultFrequencies(headDim, options);
    case "linear":
      return linearFrequencies(headDim, options);
    case "dynamic":
      return dynamicFrequencies(headDim, options, length);
    case "yarn":
      return yarnFrequencies(headDim, options);
    case "longrope":
      return longropeFrequencies(headDim, options, length);
    case "llama3":
      return llama3Frequencies(headDim, options);
    case "proportional":
      return proportionalFrequencies(headDim, options);
  }
}

/** The least length whose frequencies are those of `length`: 0 for every rule and length that has the frequencies of short texts. */
export function leastLengthLike(options: RopeOptions, length: number): number {
  if (options.ropeType === "dynamic") return length > options.maxPositionEmbeddings ? length : 0;
  if (options.ropeType !== "longrope") return 0;
  const { originalMaxPositionEmbeddings: original } = options;
  return length > original ? original + 1 : 0;
}

/**
 * Rows `firstRow` to `firstRow + rows - 1` of the table that the rope ops read: [rows, r], r/2 cosines and then r/2 sines per row; the row
 * number is the position.
 *
 * The angle is position * frequency rounded to f32, as transformers has it, so that long positions agree; its cosine and sine are taken in
 * f64, multiplied by the attention factor, and rounded once.
 *
 * @throws ConfigError if firstRow or rows is negative or no integer.
 */
export function ropeTable(frequencies: RopeFrequencies, firstRow: number, rows: number): Float32Array<ArrayBuffer> {
  if (![firstRow, rows].every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new ConfigError(`ropeTable: firstRow and rows must be integers of at least 0, got ${firstRow} and ${rows}`);
  }
  return turnTable(frequencies, rows, (row) => firstRow + row);
}

/** [rows, r]: r/2 cosines and then r/2 sines per row, of the place that each of its pairs has. */
export function turnTable(
  { inverseFrequencies, attentionFactor }: RopeFrequencies,
  rows: number,
  placeOf: (row: number, pair: number) => number,
): Float32Array<ArrayBuffer> {
  const pairs = inverseFrequencies.length;
  const table = new Float32Array(rows * 2 * pairs);
  for (let row = 0; row < rows; row++) {
    const cosines = row * 2 * pairs;
    for (let i = 0; i < pairs; i++) {
      const angle = Math.fround(Math.fround(placeOf(row, i)) * inverseFrequencies[i]);
      table[cosines + i] = Math.cos(angle) * attentionFactor;
      table[cosines + pairs + i] = Math.sin(angle) * attentionFactor;
    }
  }
  return table;
}
