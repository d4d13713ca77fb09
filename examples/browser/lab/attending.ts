// The attention weights of a short text. The library's attention never stores them; queries and keys are caught on their way, and the host
// computes the few that a picture needs.
import { attentionFunctions, disposeAll, keep, scope } from "qwen-blocks";
import type { AttentionFunction, Qwen3, Tensor } from "qwen-blocks";
import { sharing } from "../../train-toy/sharing.js";
import type { Attended } from "./messages.js";

interface Caught {
  /** [1, T, H, d] */
  readonly q: Tensor;
  /** [T, Hkv, d] */
  readonly k: Tensor;
  readonly scale: number;
}

/** @param tokens one sequence, read at once and without a cache */
export async function attend(model: Qwen3, tokens: readonly number[]): Promise<Attended> {
  const caught: Caught[] = [];
  const watched: AttentionFunction = (q, k, v, queries, keys, attrs) => {
    caught.push({ q: keep(q.retain()), k: keep(k.retain() as Tensor), scale: attrs.scale });
    return attentionFunctions.auto(q, k, v, queries, keys, attrs);
  };
  const watching = sharing(model, { attnImplementation: "watched" }, { attentionFunctions: { watched } });
  try {
    scope(() => void watching.forward([tokens], { logits: "last" }));
    return { tokens, weights: await Promise.all(caught.map(weightsOf)) };
  } finally {
    disposeAll(watching);
    for (const { q, k } of caught) for (const held of [q, k]) held.dispose();
  }
}

/** softmax(q k^T scale) of each head, causal: [T, T] */
async function weightsOf({ q, k, scale }: Caught): Promise<Float32Array[]> {
  const [, length, heads, width] = q.shape;
  const kvHeads = k.shape[1];
  const [queries, keys] = (await Promise.all([q.data(), k.data()])) as Float32Array[];
  return Array.from({ length: heads }, (_, head) => {
    const group = Math.floor((head * kvHeads) / heads);
    const rows = new Float32Array(length * length);
    for (let t = 0; t < length; t++) {
      const query = queries.subarray((t * heads + head) * width, (t * heads + head + 1) * width);
      const scores = Array.from({ length: t + 1 }, (_, s) => {
        const from = (s * kvHeads + group) * width;
        return query.reduce((sum, value, i) => sum + value * keys[from + i], 0) * scale;
      });
      rows.set(softmax(scores), t * length);
    }
    return rows;
  });
}

function softmax(scores: readonly number[]): number[] {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
