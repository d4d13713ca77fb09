// What can be trained, and what it loses on a batch or on many.
import type { Backend } from "../backends/backend.js";
import { IndexError } from "../core/errors.js";
import type { Routing } from "../routing/router.js";
import { tensor } from "../tensor/create.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Batch } from "./data.js";
import { ignoredTarget, nextTokenLoss } from "./next-token-loss.js";

/** Anything that turns rows of token ids into logits [B, T, V]. `Qwen3` is one. */
export interface LanguageModel {
  readonly backend: Backend;
  forward(ids: readonly ArrayLike<number>[], options: { readonly routings?: Map<number, Routing> }): Tensor;
}

/**
 * Mean cross entropy over all targets of the batches, in nats; of packed models too.
 * @throws IndexError if an id or a target is outside the vocabulary
 */
export async function evaluate(model: LanguageModel, batches: Iterable<Batch>): Promise<number> {
  let total = 0;
  let counted = 0;
  for (const batch of batches) {
    const loss = scope(() => lossOf(model, batch));
    try {
      total += (await loss.data())[0] * batch.counted;
    } finally {
      loss.dispose();
    }
    counted += batch.counted;
  }
  return total / counted;
}

/** Of one batch, f32 []; what the routers chose goes into `routings`. @throws IndexError */
export function lossOf(
  model: LanguageModel,
  { shape: [rows, length], inputs, targets }: Batch,
  routings?: Map<number, Routing>,
): Tensor {
  const ids = Array.from({ length: rows }, (_, row) => inputs.subarray(row * length, (row + 1) * length));
  const logits = model.forward(ids, { routings });
  const vocabSize = logits.shape[2];
  const bad = targets.findIndex((id) => id !== ignoredTarget && (id < 0 || id >= vocabSize));
  if (bad < 0) return nextTokenLoss(logits, tensor(logits.backend, targets, [rows, length]));
  throw new IndexError(
    `targets: must be ${ignoredTarget} or 0 to ${vocabSize - 1}, got ${targets[bad]} at element ${bad}`,
  );
}
