// What is measured: one run of each phase of a model.
import { Random, generate, parameters, type KVCache, type Qwen3 } from "qwen-blocks";
import { AdamW, Trainer, sampleBatch } from "qwen-blocks/train";
import { takeTurn, type Side } from "./rounds.js";

export const phases = ["prefill", "decode", "training"] as const;
export type Phase = (typeof phases)[number];

/** Tokens that a decoding run makes. */
export const decoded = 16;
/** A long prompt is read in pieces, so that memory does not grow with it. */
const chunk = 512;

export interface PhaseSize {
  /** In the prompt, in the cache while decoding, in a row of a training step. */
  readonly tokens: number;
  /** Rows of a training step. */
  readonly batch: number;
}

export interface Measurable extends Disposable {
  /** Computed by one run. */
  readonly tokens: number;
  /** Ends when the results are on the host. */
  run(): Promise<void>;
}

/** A side of a match, in milliseconds per token. */
export function sideOf({ run, tokens }: Measurable): Side {
  return { turn: async () => (await takeTurn(run)) / tokens };
}

/** Makes everything that is not measured. */
export async function prepare(phase: Phase, model: Qwen3, { tokens, batch }: PhaseSize): Promise<Measurable> {
  const random = new Random(1);
  const text = Int32Array.from({ length: tokens + batch }, () => random.integer(model.config.vocabSize));
  const prompt = text.subarray(0, tokens);
  if (phase === "prefill") return prefilling(model, prompt);
  if (phase === "decode") return decoding(model, prompt);
  return training(model, text, tokens, batch);
}

function prefilling(model: Qwen3, prompt: Int32Array): Measurable {
  const cache = model.makeCache({ maxLength: prompt.length });
  return {
    tokens: prompt.length,
    async run() {
      cache.truncateTo(0);
      await read(model, prompt, cache);
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
}

/** One token after the other behind the prompt, each the likeliest and read back before the next. */
async function decoding(model: Qwen3, prompt: Int32Array): Promise<Measurable> {
  const maxLength = prompt.length + decoded;
  const cache = model.makeCache({ maxLength, capacity: maxLength });
  const before = prompt.length - 1;
  if (before > 0) await read(model, prompt.subarray(0, before), cache);
  return {
    tokens: decoded,
    async run() {
      cache.truncateTo(before);
      const last = prompt.subarray(before);
      for await (const _ of generate(model, last, { maxNewTokens: decoded, temperature: 0, cache }));
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
}

async function read(model: Qwen3, prompt: Int32Array, cache: KVCache): Promise<void> {
  for (let from = 0; from < prompt.length; from += chunk) {
    using logits = model.forward([prompt.subarray(from, from + chunk)], { cache, logits: "last" });
    await logits.data();
  }
}

/** A whole step: forward, backward, clipping, AdamW. The learning rate is so small that all runs do the same work. */
function training(model: Qwen3, text: Int32Array, contextLength: number, batchSize: number): Measurable {
  const optimizer = new AdamW(parameters(model));
  const { routerAuxLossCoef } = model.config;
  const trainer = new Trainer(model, { optimizer, schedule: () => 1e-9, routerAuxLossCoef, maxGradNorm: 1 });
  const batch = sampleBatch(text, { contextLength, batchSize }, new Random(2));
  return {
    tokens: contextLength * batchSize,
    run: async () => void (await trainer.step([batch])),
    [Symbol.dispose]: () => optimizer.dispose(),
  };
}
