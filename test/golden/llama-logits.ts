// The logits that llama.cpp, through node-llama-cpp, has behind every token of a text.
import { load } from "../bench/peers/product.js";

interface Output {
  readonly next: { readonly logits?: ReadonlyMap<number, number> };
}
interface Sequence {
  controlledEvaluate(input: readonly (readonly [number, object])[]): Promise<readonly (Output | undefined)[]>;
}
interface LlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{ getSequence(): Sequence }>;
      dispose(): Promise<void>;
    }>;
    dispose(): Promise<void>;
  }>;
}

/**
 * With keys and values in F32 and without its flash attention, which has sums of half precision.
 * @param folder where node-llama-cpp is installed
 * @returns a row of all logits for each token
 */
export async function llamaLogits(folder: string, file: string, ids: readonly number[]): Promise<Float32Array[]> {
  const { module } = await load(folder, "node-llama-cpp");
  const llama = await (module as LlamaCpp).getLlama({ gpu: false, build: "never", logLevel: "error", numa: false });
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({
    contextSize: ids.length + 1, // a full one would drop tokens to make room for the next
    batchSize: ids.length,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const asked = ids.map((id) => [id, { generateNext: { logits: true } }] as const);
  const outputs = await context.getSequence().controlledEvaluate(asked);
  await llama.dispose();
  return outputs.map((output, position) => {
    const logits = output?.next.logits;
    if (logits === undefined) throw new Error(`${file}: llama.cpp must give logits at position ${position}, got none`);
    return Float32Array.from({ length: logits.size }, (_, id) => logits.get(id) ?? NaN);
  });
}
