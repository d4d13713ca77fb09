// Tokens per second: of a batch of texts at once, and of one text written token by token.
import { generate, scope, type Qwen3 } from "qwen-blocks";
import type { Batch } from "qwen-blocks/train";
import { textsOf } from "../train-toy/measure.js";
import { documentToken } from "../train-toy/text.js";

export interface Speed {
  readonly prefill: number;
  readonly decode: number;
}

const rounds = 5;

/** Medians, after a round that engines compile in. */
export async function speedOf(model: Qwen3, batch: Batch): Promise<Speed> {
  const texts = textsOf(batch);
  const [rows, length] = batch.shape;
  const prefill = async (): Promise<void> => {
    scope(() => void model.forward(texts));
    await model.backend.idle();
  };
  const decode = async (): Promise<void> => {
    for await (const _ of generate(model, [documentToken], { maxNewTokens: length, temperature: 0, stopTokens: [] }));
  };
  return { prefill: (rows * length) / (await seconds(prefill)), decode: length / (await seconds(decode)) };
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const taken: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    await work();
    taken.push((performance.now() - began) / 1000);
  }
  return taken.slice(1).sort((a, b) => a - b)[Math.floor(rounds / 2)];
}
