// What a finished run is asked for.
import { entropiesOf, type Entropies } from "./entropies.js";
import { lastLoads, maxOverMean } from "./history.js";
import type { HeldOut } from "./measure.js";
import { storeInFewBits, type Stored } from "./packed.js";
import type { Session } from "./session.js";
import type { Text } from "./text.js";

export interface Findings {
  /** Mean cross entropy on held-out text, in nats per token. */
  readonly validation: number;
  readonly heldOutTokens: number;
  readonly entropies: Entropies;
  /** By layer: largest load over mean load, over the last tenth of the steps. */
  readonly balance: readonly number[];
  /** The model as trained, and packed. */
  readonly stored: readonly Stored[];
  /** Written by the smallest of them. */
  readonly sample: string;
}

/** Rejects with the signal's reason when that is aborted. */
export async function findOut(
  { settings, model, history }: Session,
  text: Text,
  heldOut: HeldOut,
  signal: AbortSignal,
): Promise<Findings> {
  const { contextLength, sampleTokens: tokens } = settings.recipe;
  const sampling = { tokens, contextLength, seed: settings.seed, signal };
  const stored = await storeInFewBits(model, heldOut, sampling);
  const [{ validation }] = stored;
  return {
    validation,
    heldOutTokens: heldOut.many.reduce((total, { counted }) => total + counted, 0),
    entropies: entropiesOf(text.training, heldOut.many),
    balance: lastLoads(history).map(maxOverMean),
    stored,
    sample: stored[stored.length - 1].sample,
  };
}
