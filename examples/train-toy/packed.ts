// The trained model again, its matrices in 8 and in 4 bits: how large it is, what it loses, how fast it writes.
import { allParameters, disposeAll, type Qwen3 } from "qwen-blocks";
import { packModel } from "qwen-blocks/quant";
import { evaluateOn, type HeldOut } from "./measure.js";
import { writeSample, type SampleOptions } from "./sample.js";
import { sharing } from "./sharing.js";

export interface Stored {
  /** "f32", or a scheme. */
  readonly format: string;
  readonly bytes: number;
  /** Nats per held-out token. */
  readonly validation: number;
  readonly tokensPerSecond: number;
  readonly sample: string;
}

const formats = ["q8_0", "q4_0"] as const;

/** As trained, then packed. The model itself stays as it is. */
export async function storeInFewBits(model: Qwen3, heldOut: HeldOut, sampling: SampleOptions): Promise<Stored[]> {
  const found = [await look("f32", model, heldOut, sampling)];
  for (const scheme of formats) {
    const packed = sharing(model);
    try {
      await packModel(packed, { scheme, activations: "q8" });
      found.push(await look(scheme, packed, heldOut, sampling));
    } finally {
      disposeAll(packed);
    }
  }
  return found;
}

async function look(format: string, model: Qwen3, { many }: HeldOut, sampling: SampleOptions): Promise<Stored> {
  const { tokens, contextLength, signal } = sampling;
  const validation = await evaluateOn(model, many, signal);
  await writeSample(model, { ...sampling, tokens: Math.min(tokens, contextLength) }); // engines compile what runs often
  const began = performance.now();
  const sample = await writeSample(model, sampling);
  const tokensPerSecond = (1000 * tokens) / (performance.now() - began);
  const bytes = [...allParameters(model).values()].reduce((total, weight) => total + weight.byteLength, 0);
  return { format, bytes, validation, tokensPerSecond, sample };
}
