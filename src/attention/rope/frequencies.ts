// From rope options to turning speeds, and from those to the table of cosines and sines that kernels read. Host arithmetic only.
import { ConfigError } from "../../core/errors.js";
import { defaultFrequencies, type RopeFrequencies } from "./default.js";
import { linearFrequencies } from "./linear.js";
import { llama3Frequencies } from "./llama3.js";
import { checkRopeOptions, type RopeOptions } from "./rope-options.js";
import { yarnFrequencies } from "./yarn.js";

/**
 * The turning speeds of a model's heads: r/2 frequencies in radians per token, and the factor on cosines and sines.
 *
 * @throws ConfigError if an option is out of range, or headDim or the turned part of it is odd.
 */
export function ropeFrequencies(headDim: number, options: RopeOptions): RopeFrequencies {
  checkRopeOptions(headDim, options);
  switch (options.ropeType) {
    case "default":
      return defaultFrequencies(headDim, options);
    case "linear":
      return linearFrequencies(headDim, options);
    case "yarn":
      return yarnFrequencies(headDim, options);
    case "llama3":
      return llama3Frequencies(headDim, options);
  }
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
  const { inverseFrequencies, attentionFactor } = frequencies;
  const pairs = inverseFrequencies.length;
  const table = new Float32Array(rows * 2 * pairs);
  for (let row = 0; row < rows; row++) {
    const cosines = row * 2 * pairs;
    for (let i = 0; i < pairs; i++) {
      const angle = Math.fround(Math.fround(firstRow + row) * inverseFrequencies[i]);
      table[cosines + i] = Math.cos(angle) * attentionFactor;
      table[cosines + pairs + i] = Math.sin(angle) * attentionFactor;
    }
  }
  return table;
}
