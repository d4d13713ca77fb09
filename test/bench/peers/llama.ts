// llama.cpp's own build for this processor, through node-llama-cpp.
import { Random } from "qwen-blocks";
import type { FileTask } from "./file.js";
import { load } from "./product.js";
import { takeTurns } from "./turns.js";

interface Sequence {
  readonly nextTokenIndex: number;
  clearHistory(): Promise<void>;
  eraseContextTokenRanges(ranges: readonly { readonly start: number; readonly end: number }[]): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: object): AsyncGenerator<number, void>;
}
interface LlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>;
    }>;
  }>;
}

await takeTurns(async ({ phase, file, folder, threads, tokens, decoded, vocabSize }: FileTask) => {
  const { module, version } = await load(folder, "node-llama-cpp");
  const { getLlama } = module as LlamaCpp;
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads, numa: false });
  const model = await llama.loadModel({ modelPath: file, useMmap: true });
  const context = await model.createContext({ contextSize: tokens + decoded + 1, batchSize: tokens, threads });
  const sequence = context.getSequence();
  const random = new Random(1);
  const prompt = Array.from({ length: tokens }, () => random.integer(vocabSize));
  const before = phase === "decode" ? tokens - 1 : 0;
  if (before > 0) await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, before));
  const make = phase === "decode" ? decoded : 1;
  return {
    info: { version, threads },
    async run() {
      if (before === 0) await sequence.clearHistory();
      else await sequence.eraseContextTokenRanges([{ start: before, end: sequence.nextTokenIndex }]);
      let made = 0;
      const text = sequence.evaluate(prompt.slice(before), { temperature: 0, yieldEogToken: true });
      for await (const _ of text) if (++made === make) break;
      if (made < make) throw new Error(`it stopped after ${made} of ${make} tokens`);
    },
  };
});
