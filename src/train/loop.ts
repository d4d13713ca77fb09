// The training loop: random windows of a text, step after step, until the last one or an abort.
import { ConfigError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import { sampleBatch, type BatchOptions, type TokenIds } from "./data.js";
import type { StepReport, Trainer } from "./trainer.js";

export interface TrainOptions extends BatchOptions {
  /** Steps of the whole run; a resumed trainer takes those that are missing. */
  readonly steps: number;
  /** Batches per step, whose gradients are added up; 1 unless given. */
  readonly accumulation?: number;
  /** Where windows come from; its state belongs into what a run saves. */
  readonly random: Random;
  /** Stops before the next step. What was done stays done: save and resume. */
  readonly signal?: AbortSignal;
}

/**
 * Yields a report after every step, when the parameters are those after it: the moment to save.
 * @throws FormatError if the text is shorter than the context, ConfigError for an option out of range
 */
export async function* train(
  trainer: Trainer,
  tokens: TokenIds,
  options: TrainOptions,
): AsyncGenerator<StepReport, void, undefined> {
  const { steps, accumulation = 1, random, signal } = options;
  if (!Number.isInteger(steps) || steps < 0)
    throw new ConfigError(`train: steps must be an integer of at least 0, got ${steps}`);
  if (!Number.isInteger(accumulation) || accumulation < 1) {
    throw new ConfigError(`train: accumulation must be a positive integer, got ${accumulation}`);
  }
  while (trainer.steps < steps && !signal?.aborted) {
    const batches = Array.from({ length: accumulation }, () => sampleBatch(tokens, options, random));
    yield await trainer.step(batches);
  }
}
