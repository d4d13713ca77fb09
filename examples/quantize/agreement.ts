// How closely one model follows another: of their next-token distributions on the same held-out text, the divergence and the first choice.
import { scope, type Qwen3 } from "qwen-blocks";
import type { Batch } from "qwen-blocks/train";
import { textsOf } from "../train-toy/measure.js";

/** f32 [tokens * V] per batch. */
export type Logits = readonly Float32Array[];

export async function logitsOf(model: Qwen3, batches: readonly Batch[]): Promise<Logits> {
  const all: Float32Array[] = [];
  for (const batch of batches) {
    using logits = scope(() => model.forward(textsOf(batch)));
    all.push((await logits.data()) as Float32Array);
  }
  return all;
}

export interface Agreement {
  /** Mean of KL(reference || model), in nats per token. */
  readonly divergence: number;
  /** Share of the tokens for which both put the same token first. */
  readonly sameFirst: number;
}

export function agreementOf(reference: Logits, model: Logits, vocabSize: number): Agreement {
  let [tokens, divergence, same] = [0, 0, 0];
  reference.forEach((expected, i) => {
    for (let at = 0; at < expected.length; at += vocabSize, tokens++) {
      const p = logProbabilities(expected.subarray(at, at + vocabSize));
      const q = logProbabilities(model[i].subarray(at, at + vocabSize));
      p.forEach((logP, id) => (divergence += Math.exp(logP) * (logP - q[id])));
      same += Number(first(p) === first(q));
    }
  });
  return { divergence: divergence / tokens, sameFirst: same / tokens };
}

function logProbabilities(logits: Float32Array): Float64Array {
  const most = logits.reduce((largest, logit) => Math.max(largest, logit), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Float64Array.from(logits, (logit) => logit - most - Math.log(sum));
}

function first(values: Float64Array): number {
  return values.reduce((best, value, id) => (value > values[best] ? id : best), 0);
}
