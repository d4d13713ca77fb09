// What is measured: one run of each phase, on a model whose backend counts its kernel calls.
import { Random, parameters, type Qwen3 } from "qwen-blocks";
import { AdamW, Trainer, sampleBatch } from "qwen-blocks/train";
import type { Phase } from "./options.js";

/** Tokens that a decoding run makes. */
const decoded = 16;

export interface Measurable extends Disposable {
  /** Computed by one run. */
  readonly tokens: number;
  /** Ends when the results are on the host. */
  run(): Promise<void>;
}

/** Makes everything that is not measured. */
export async function prepare(phase: Phase, model: Qwen3, tokens: number): Promise<Measurable> {
  const random = new Random(1);
  const text = Int32Array.from({ length: tokens + 1 }, () => random.integer(model.config.vocabSize));
  const prompt = text.subarray(0, tokens);
  if (phase === "prefill") return prefilling(model, prompt);
  if (phase === "decode") return decoding(model, prompt);
  return training(model, text);
}

function prefilling(model: Qwen3, prompt: Int32Array): Measurable {
  const cache = model.makeCache({ maxLength: prompt.length });
  return {
    tokens: prompt.length,
    async run() {
      cache.truncateTo(0);
      using logits = model.forward([prompt], { cache, logits: "last" });
      await logits.data();
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
}

/** One token after the other behind the prompt, each read back before the next, as sampling does. */
async function decoding(model: Qwen3, prompt: Int32Array): Promise<Measurable> {
  const maxLength = prompt.length + decoded;
  const cache = model.makeCache({ maxLength, capacity: maxLength });
  using filled = model.forward([prompt], { cache, logits: "last" });
  await filled.data();
  return {
    tokens: decoded,
    async run() {
      cache.truncateTo(prompt.length);
      for (let i = 0; i < decoded; i++) {
        using logits = model.forward([[prompt[i % prompt.length]]], { cache, logits: "last" });
        await logits.data();
      }
    },
    [Symbol.dispose]: () => cache.dispose(),
  };
}

/** A whole step: forward, backward, clipping, AdamW. The learning rate is so small that all runs do the same work. */
function training(model: Qwen3, text: Int32Array): Measurable {
  const optimizer = new AdamW(parameters(model));
  const { routerAuxLossCoef } = model.config;
  const trainer = new Trainer(model, { optimizer, schedule: () => 1e-9, routerAuxLossCoef, maxGradNorm: 1 });
  const contextLength = text.length - 1;
  const batch = sampleBatch(text, { contextLength, batchSize: 1 }, new Random(2));
  return {
    tokens: contextLength,
    run: async () => void (await trainer.step([batch])),
    [Symbol.dispose]: () => optimizer.dispose(),
  };
}
