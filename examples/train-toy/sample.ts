// Text that the model writes by itself.
import { Random, generate, type Qwen3 } from "qwen-blocks";
import { decode, documentToken } from "./text.js";

export const temperature = 0.8;

export interface SampleOptions {
  readonly tokens: number;
  readonly contextLength: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/**
 * The beginning of a document. The model has only ever seen windows of `contextLength` tokens, so it writes half of one at a time, with the
 * half before it as the prompt.
 */
export async function writeSample(
  model: Qwen3,
  { tokens, contextLength, seed, signal }: SampleOptions,
): Promise<string> {
  const random = new Random(seed).fork("sample");
  const written = [documentToken];
  const half = Math.ceil(contextLength / 2);
  while (written.length <= tokens) {
    const maxNewTokens = Math.min(half, tokens + 1 - written.length);
    const prompt = written.slice(-half);
    for await (const token of generate(model, prompt, { maxNewTokens, temperature, random, signal }))
      written.push(token);
  }
  return decode(written.slice(1));
}
