// One model and one text on every backend that opens: the numbers agree, the times do not.
import { disposeAll, scope } from "qwen-blocks";
import { evaluate, type Batch } from "qwen-blocks/train";
import { modelFrom, type Snapshot } from "./bench.js";
import { choices, open } from "./backends.js";
import type { Carried } from "./carried.js";
import type { Choice, Compared } from "./messages.js";

/** cpu first, whose numbers define the others. */
export async function compare(
  snapshot: Snapshot,
  { config }: Carried,
  batch: Batch,
  onProgress: (done: number, total: number) => void,
): Promise<Compared[]> {
  const order = [...choices].reverse();
  const found: Compared[] = [];
  let reference: Float32Array | undefined;
  for (const choice of order) {
    onProgress(found.length, order.length);
    try {
      const { logits, ...numbers } = await numbersOn(choice, snapshot, config, batch);
      reference ??= logits;
      found.push({ choice, ...numbers, difference: largestDifference(logits, reference) });
    } catch (error) {
      found.push({ choice, reason: (error as Error).message });
    }
  }
  onProgress(order.length, order.length);
  return found;
}

async function numbersOn(
  choice: Choice,
  snapshot: Snapshot,
  config: Carried["config"],
  batch: Batch,
): Promise<{ loss: number; milliseconds: number; logits: Float32Array }> {
  await using backend = await open(choice);
  const model = modelFrom(backend, snapshot, config);
  try {
    const logits = scope(() => model.forward([batch.inputs.subarray(0, batch.shape[1])]));
    const numbers = (await logits.data()) as Float32Array; // the first pass, in which engines compile
    logits.dispose();
    const began = performance.now();
    const loss = await evaluate(model, [batch]);
    return { loss, milliseconds: performance.now() - began, logits: numbers };
  } finally {
    disposeAll(model);
  }
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}
