// From token ids to batches for next-token training: random windows to learn from, and the held-out part in order to measure on.
import { ConfigError, FormatError } from "../core/errors.js";
import type { Random } from "../core/random.js";

/** Token ids of one long text; bytes are tokens too. */
export type TokenIds = Int32Array | Uint32Array | Uint16Array | Uint8Array;

export interface BatchOptions {
  /** Tokens per window, T. */
  readonly contextLength: number;
  /** Windows per batch, B. */
  readonly batchSize: number;
}

/** B windows of T tokens, and for each token the one that follows it. */
export interface Batch {
  readonly shape: readonly [batchSize: number, contextLength: number];
  /** [B, T], row after row. */
  readonly inputs: Int32Array<ArrayBuffer>;
  /** [B, T]; -100 where the loss does not count, as the crossEntropy op has it. */
  readonly targets: Int32Array<ArrayBuffer>;
  /** How many targets count: the weight of this batch in a mean over several. */
  readonly counted: number;
}

/** The target that the crossEntropy op leaves out (transformers: ignore_index). */
const ignoredTarget = -100;

/**
 * Holds out the last `fraction` of a text, rounded down to whole tokens. Both parts are views of `tokens`.
 *
 * @param fraction in [0, 1).
 * @throws FormatError if the text is empty; ConfigError if the fraction is out of range.
 */
export function splitTokens(
  tokens: TokenIds,
  fraction: number,
): { readonly training: TokenIds; readonly validation: TokenIds } {
  if (tokens.length === 0) throw new FormatError("splitTokens: the text must not be empty");
  if (!(fraction >= 0 && fraction < 1)) {
    throw new ConfigError(`splitTokens: fraction must be a number in [0, 1), got ${fraction}`);
  }
  const border = tokens.length - Math.floor(tokens.length * fraction);
  return { training: tokens.subarray(0, border), validation: tokens.subarray(border) };
}

/**
 * B windows at random places of the text, each place as likely as any other. It takes B draws, and nothing else decides: to resume
 * training bit-identically, save `random.state` with the step and go on with `Random.fromState`.
 *
 * @throws FormatError if the text has fewer than contextLength + 1 tokens; ConfigError if an option is no positive integer.
 */
export function sampleBatch(tokens: TokenIds, options: BatchOptions, random: Random): Batch {
  checkText("sampleBatch", tokens, options);
  const { contextLength, batchSize } = options;
  const starts = Array.from({ length: batchSize }, () => random.integer(tokens.length - contextLength));
  return cut(tokens, starts, options);
}

/**
 * The whole text in order, cut into windows side by side: every token but the first is a target exactly once. All batches have the same
 * shape; what is missing in the last one is filled with id 0, which no earlier token sees, and targets that do not count.
 *
 * @throws FormatError if the text has fewer than contextLength + 1 tokens; ConfigError if an option is no positive integer.
 */
export function batchesInOrder(tokens: TokenIds, options: BatchOptions): Iterable<Batch> & { readonly length: number } {
  checkText("batchesInOrder", tokens, options);
  const { contextLength, batchSize } = options;
  const windows = Math.ceil((tokens.length - 1) / contextLength);
  const length = Math.ceil(windows / batchSize);
  function* batches(): Generator<Batch> {
    for (let batch = 0; batch < length; batch++) {
      const starts = Array.from({ length: batchSize }, (_, row) => (batch * batchSize + row) * contextLength);
      yield cut(tokens, starts, options);
    }
  }
  return { length, [Symbol.iterator]: batches };
}

/** One window per start; a window may reach past the end of the text. */
function cut(tokens: TokenIds, starts: readonly number[], { contextLength, batchSize }: BatchOptions): Batch {
  const inputs = new Int32Array(batchSize * contextLength);
  const targets = new Int32Array(batchSize * contextLength).fill(ignoredTarget);
  let counted = 0;
  starts.forEach((start, row) => {
    const length = Math.max(0, Math.min(contextLength, tokens.length - 1 - start));
    inputs.set(tokens.subarray(start, start + length), row * contextLength);
    targets.set(tokens.subarray(start + 1, start + 1 + length), row * contextLength);
    counted += length;
  });
  return { shape: [batchSize, contextLength], inputs, targets, counted };
}

function checkText(where: string, tokens: TokenIds, { contextLength, batchSize }: BatchOptions): void {
  for (const [name, value] of Object.entries({ contextLength, batchSize })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new ConfigError(`${where}: ${name} must be a positive integer, got ${value}`);
  }
  if (tokens.length > contextLength) return;
  throw new FormatError(
    `${where}: the text must have at least contextLength + 1 = ${contextLength + 1} tokens, got ${tokens.length}; ` +
      "give a longer text or a shorter context",
  );
}
