// How good the model is: its loss on held-out text, beside what counting gives on the same tokens.
import { batchesInOrder, evaluate, type Batch, type LanguageModel } from "qwen-blocks/train";
import type { Recipe } from "./settings.js";
import type { Text } from "./text.js";

/** Enough for two digits of the loss, and a few seconds' work. */
const mostTokens = 24_576;
/** A look now and then on the way. */
const fewTokens = 2048;

export interface HeldOut {
  /** For the numbers at the end. */
  readonly many: readonly Batch[];
  /** For the curve. */
  readonly few: readonly Batch[];
}

/** Windows spread evenly over the held-out text. */
export function heldOutBatches({ heldOut }: Text, { contextLength, batchSize }: Recipe): HeldOut {
  const all = [...batchesInOrder(heldOut, { contextLength, batchSize })];
  const spread = (tokens: number): Batch[] => {
    const stride = Math.max(1, (all.length * contextLength * batchSize) / tokens);
    return Array.from({ length: Math.floor(all.length / stride) }, (_, i) => all[Math.floor(i * stride)]);
  };
  return { many: spread(mostTokens), few: spread(fewTokens) };
}

/** Mean cross entropy in nats. Rejects with the signal's reason when that is aborted. */
export async function evaluateOn(
  model: LanguageModel,
  batches: readonly Batch[],
  signal?: AbortSignal,
): Promise<number> {
  function* until(): Generator<Batch> {
    for (const batch of batches) {
      signal?.throwIfAborted();
      yield batch;
    }
  }
  return evaluate(model, until());
}

/** The rows of a batch, as models take them. */
export function textsOf({ inputs, shape: [rows, length] }: Batch): Int32Array[] {
  return Array.from({ length: rows }, (_, row) => inputs.subarray(row * length, (row + 1) * length));
}
