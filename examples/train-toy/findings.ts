// What a finished run is asked for.
import { entropiesOf, type Entropies } from "./entropies.js";
import { lastLoads, maxOverMean } from "./history.js";
import { measure, type HeldOut } from "./measure.js";
import { writeSample } from "./sample.js";
import type { Session } from "./session.js";
import type { Text } from "./text.js";

export interface Findings {
  /** Mean cross entropy on held-out text, in nats per token. */
  readonly validation: number;
  readonly heldOutTokens: number;
  readonly entropies: Entropies;
  /** By layer: largest load over mean load, over the last tenth of the steps. */
  readonly balance: readonly number[];
  readonly sample: string;
}

/** Rejects with the signal's reason when that is aborted. */
export async function findOut(
  { settings, model, trainer, history }: Session,
  text: Text,
  { many }: HeldOut,
  signal: AbortSignal,
): Promise<Findings> {
  const { contextLength, sampleTokens: tokens } = settings.recipe;
  return {
    validation: await measure(trainer, many, signal),
    heldOutTokens: many.reduce((total, { counted }) => total + counted, 0),
    entropies: entropiesOf(text.training, many),
    balance: lastLoads(history).map(maxOverMean),
    sample: await writeSample(model, { tokens, contextLength, seed: settings.seed, signal }),
  };
}
