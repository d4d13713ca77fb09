// Text out of a model, token by token: prefill the prompt, then decode with the cache.
import type { KVCache } from "../attention/cache/kv-cache.js";
import { ConfigError, IndexError } from "../core/errors.js";
import { Random } from "../core/random.js";
import { mul } from "../ops/binary.js";
import { logSumExp } from "../ops/log-sum-exp.js";
import { reshape } from "../ops/reshape.js";
import { topK } from "../ops/top-k.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { DecodeStep } from "./decode-step.js";
import type { Decoder } from "./decoder.js";
import { checkSampling, rankRow, sampleFrom, type SamplingOptions } from "./sample.js";

export interface GenerateOptions extends SamplingOptions {
  readonly maxNewTokens: number;
  /** Generation ends before such a token; it is not yielded. */
  readonly stopTokens?: readonly number[];
  /** Where the draws come from; `new Random(0)` unless given. Same state, same text. */
  readonly random?: Random;
  readonly signal?: AbortSignal;
  /** A cache to go on with, of batch 1; it stays the caller's. By default one is made and freed at the end. */
  readonly cache?: KVCache;
}

/** Prompts are read in chunks, so that memory does not grow with their length. */
const prefillChunk = 512;
/** How many of the best logits come back per token; the full row is read only where the choice is not among them. */
const candidates = 256;

/**
 * Yields token ids. Leaving the loop, an abort or an exception frees everything.
 * @param prompt token ids, at least one
 * @throws ConfigError for an option out of range, IndexError for an empty prompt or an id outside the vocabulary, CapacityError if the cache
 *   is full, and the signal's reason when it is aborted
 */
export async function* generate(
  model: Decoder,
  prompt: ArrayLike<number>,
  options: GenerateOptions,
): AsyncGenerator<number, void, undefined> {
  const { maxNewTokens, stopTokens = [], random = new Random(0), signal } = options;
  checkSampling(options);
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0) {
    throw new ConfigError(`generate: maxNewTokens must be an integer of at least 0, got ${maxNewTokens}`);
  }
  if (prompt.length === 0)
    throw new IndexError("generate: the prompt must hold at least one token, got none; begin with a separator token");
  const cache = options.cache ?? model.makeCache({ maxLength: prompt.length + maxNewTokens });
  const look = (logits: Tensor): Best => bestOf(reshape(logits, [model.config.vocabSize]), options);
  const step = new DecodeStep(model, cache, look);
  try {
    let unread: ArrayLike<number> = await prefill(model, prompt, cache, signal);
    for (let made = 0; made < maxNewTokens; made++) {
      signal?.throwIfAborted();
      const id =
        unread.length === 1
          ? await choose(step.run(unread), options, random)
          : await chooseOnce(
              scope(() => look(model.forward([unread], { cache, logits: "last" }))),
              options,
              random,
            );
      if (stopTokens.includes(id)) return;
      yield id;
      unread = [id];
    }
  } finally {
    step.dispose();
    if (!options.cache) cache.dispose();
  }
}

/** Runs all of the prompt but its last chunk; returns that chunk. */
async function prefill(
  model: Decoder,
  prompt: ArrayLike<number>,
  cache: KVCache,
  signal: AbortSignal | undefined,
): Promise<ArrayLike<number>> {
  const ids = Array.from(prompt);
  let from = 0;
  for (; ids.length - from > prefillChunk; from += prefillChunk) {
    signal?.throwIfAborted();
    using logits = model.forward([ids.slice(from, from + prefillChunk)], { cache, logits: "last" });
    using first = logits.window([1], "f32", 0); // enough to wait for, where a row has the size of the vocabulary
    await first.data();
  }
  return ids.slice(from);
}

/** What a choice needs of the logits. */
interface Best {
  /** [V] */
  readonly logits: Tensor;
  /** The best of them and their ids, in order. */
  readonly values: Tensor;
  readonly indices: Tensor;
  /** Of the logits over the temperature; not needed for greedy decoding. */
  readonly normalizer?: Tensor;
}

/** @param logits f32 [V] */
function bestOf(logits: Tensor, { temperature = 1 }: SamplingOptions): Best {
  if (temperature === 0) return { logits, ...topK(logits, 1) };
  const normalizer = logSumExp(mul(logits, 1 / temperature));
  return { logits, ...topK(logits, Math.min(candidates, logits.size)), normalizer };
}

async function chooseOnce(best: Best, options: SamplingOptions, random: Random): Promise<number> {
  try {
    return await choose(best, options, random);
  } finally {
    for (const tensor of Object.values(best) as Tensor[]) tensor.dispose();
  }
}

async function choose(best: Best, options: SamplingOptions, random: Random): Promise<number> {
  const { logits, values, indices, normalizer } = best;
  const ids = (await indices.data()) as Int32Array;
  if (normalizer === undefined) return ids[0];
  const [few, [sum]] = await Promise.all([floats(values), floats(normalizer)]);
  const u = random.uniform();
  const short = sampleFrom({ logits: few, ids }, sum, logits.size, options, u);
  return short ?? (sampleFrom(rankRow(await floats(logits)), sum, logits.size, options, u) as number);
}

async function floats(x: Tensor): Promise<Float32Array> {
  return (await x.data()) as Float32Array;
}
