// How hard the text is for those who only count: what a model must beat to have learned anything.
import type { Batch } from "qwen-blocks/train";
import { vocabSize } from "./text.js";

/** In nats per token. */
export interface Measured {
  /** Of the held-out tokens under the counts of the training part, each plus one: what a counting model loses. */
  readonly crossEntropy: number;
  /** Of the held-out tokens under their own counts: no model of this kind can lose less on them. */
  readonly entropy: number;
}

export interface Entropies {
  /** ln of the vocabulary: all tokens equally likely. */
  readonly uniform: number;
  /** Tokens by how often they occur. */
  readonly unigram: Measured;
  /** Tokens by how often they follow the token before. */
  readonly bigram: Measured;
}

/** @param heldOut the very targets on which the model is measured. */
export function entropiesOf(training: Int32Array, heldOut: readonly Batch[]): Entropies {
  const seen = countPairs([{ inputs: training.subarray(0, -1), targets: training.subarray(1) }]);
  const own = countPairs(heldOut);
  return {
    uniform: Math.log(vocabSize),
    unigram: measure([sumOf(own)], [sumOf(seen)]),
    bigram: measure(own, seen),
  };
}

/** How often each token occurs, [V]. */
type Counts = Float64Array;

/** Tokens, and what follows each; a target under 0 does not count. */
interface Pairs {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
}

/** One row of counts per token before. */
function countPairs(parts: readonly Pairs[]): Counts[] {
  const rows = Array.from({ length: vocabSize }, () => new Float64Array(vocabSize));
  for (const { inputs, targets } of parts) {
    targets.forEach((token, i) => {
      if (token >= 0) rows[inputs[i]][token]++;
    });
  }
  return rows;
}

function sumOf(rows: readonly Counts[]): Counts {
  return rows.reduce((total, row) => total.map((count, token) => count + row[token]));
}

function measure(own: readonly Counts[], seen: readonly Counts[]): Measured {
  const tokens = own.reduce((total, row) => total + sum(row), 0);
  const mean = (nats: (row: Counts, i: number) => number): number =>
    own.reduce((total, row, i) => total + nats(row, i), 0) / tokens;
  return {
    crossEntropy: mean((row, i) => surprise(row, seen[i], 1)),
    entropy: mean((row) => surprise(row, row, 0)),
  };
}

/** -ln p, summed over the tokens counted in `of`, where p is in proportion to the counts `by` plus `smoothing`. */
function surprise(of: Counts, by: Counts, smoothing: number): number {
  const total = sum(by) + smoothing * by.length;
  return of.reduce((nats, count, token) => {
    return count === 0 ? nats : nats - count * Math.log((by[token] + smoothing) / total);
  }, 0);
}

function sum(counts: Counts): number {
  return counts.reduce((total, count) => total + count, 0);
}
