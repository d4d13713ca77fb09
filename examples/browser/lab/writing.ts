// Text out of the model, with the experts that each token visited. `generate` tells ids alone; this is the same loop with more to read.
import { DecodeStep, Random, logSumExp, mul, rankRow, sampleFrom, scope } from "qwen-blocks";
import type { Decoder, KVCache, Qwen3, Routing, Tensor } from "qwen-blocks";
import type { Token, Visits, WriteOptions } from "./messages.js";

interface Seen {
  /** [V], after the last token read. */
  readonly logits: Tensor;
  readonly normalizer: Tensor;
  /** By layer. */
  readonly routings: readonly Pick<Routing, "experts" | "weights">[];
}

/**
 * Yields the prompt's last tokens and then new ones, each once its experts are known, which is when the model has read it.
 * @param contextLength what the model saw in training: when it is full, the model goes on with the latter half of it
 */
export async function* write(
  model: Qwen3,
  { prompt, tokens, temperature, seed }: WriteOptions,
  contextLength: number,
  signal: AbortSignal,
): AsyncGenerator<Token, void, undefined> {
  const random = new Random(seed).fork("writing");
  const text = [...prompt];
  const end = text.length + tokens;
  const half = Math.ceil(contextLength / 2);
  const cache = model.makeCache({ maxLength: contextLength });
  const reader = new Reader(model, cache, temperature);
  let unread = endOf(prompt, Math.floor(contextLength - half / 2));
  let shown = text.length - unread.length;
  try {
    for (;;) {
      signal.throwIfAborted();
      const { logits, normalizer, visits } = await reader.read(unread);
      const first = text.length - unread.length;
      for (; shown < text.length; shown++)
        yield { id: text[shown], given: shown < prompt.length, ...visits[shown - first] };
      if (text.length === end) return;
      const row = rankRow(logits);
      const next = sampleFrom(row, normalizer, logits.length, { temperature }, random.uniform());
      text.push(next as number);
      if (cache.lengths[0] < contextLength) unread = text.slice(-1);
      else {
        cache.truncateTo(0);
        unread = text.slice(-half);
      }
    }
  } finally {
    reader.dispose();
    cache.dispose();
  }
}

/** At most so many of the last tokens, from the beginning of a character on: its later bytes alone mean nothing. */
function endOf(text: readonly number[], length: number): readonly number[] {
  const end = text.slice(-length);
  return end.slice(end.findIndex((id) => id < 0x80 || id >= 0xc0));
}

interface Read {
  readonly logits: Float32Array;
  readonly normalizer: number;
  /** By token. */
  readonly visits: readonly Visits[];
}

class Reader {
  readonly #model: Qwen3;
  readonly #cache: KVCache;
  readonly #temperature: number;
  readonly #step: DecodeStep<Seen>;

  constructor(model: Qwen3, cache: KVCache, temperature: number) {
    this.#model = model;
    this.#cache = cache;
    this.#temperature = temperature;
    const routings = new Map<number, Routing>();
    const { backend, config, layers } = model;
    const telling: Decoder = {
      backend,
      config,
      layers,
      forward: (ids, options) => model.forward(ids, options),
      runStep: (ids, context) => model.runStep(ids, { ...context, routings }),
      makeCache: (options) => model.makeCache(options),
    };
    this.#step = new DecodeStep<Seen>(telling, cache, (logits) => this.#see(logits, routings));
  }

  /** Reads tokens behind what the cache holds. A single one is a recorded step, which is faster. */
  async read(ids: readonly number[]): Promise<Read> {
    if (ids.length === 1) return numbersOf(this.#step.run(ids), 1);
    const seen = scope(() => {
      const routings = new Map<number, Routing>();
      const logits = this.#model.forward([ids], { cache: this.#cache, logits: "last", routings });
      return this.#see(logits, routings) as never;
    }) as Seen;
    try {
      return await numbersOf(seen, ids.length);
    } finally {
      const { logits, normalizer, routings } = seen;
      for (const made of [logits, normalizer, ...routings.flatMap(({ experts, weights }) => [experts, weights])])
        made.dispose();
    }
  }

  dispose(): void {
    this.#step.dispose();
  }

  #see(logits: Tensor, routings: ReadonlyMap<number, Routing>): Seen {
    return {
      logits,
      normalizer: logSumExp(mul(logits, 1 / this.#temperature)),
      routings: Array.from(routings.values(), ({ experts, weights }) => ({ experts, weights })),
    };
  }
}

async function numbersOf({ logits, normalizer, routings }: Seen, count: number): Promise<Read> {
  const [row, [sum], ...chosen] = await Promise.all([
    logits.data() as Promise<Float32Array>,
    normalizer.data() as Promise<Float32Array>,
    ...routings.map(async ({ experts, weights }) => ({ experts: await experts.data(), weights: await weights.data() })),
  ]);
  const of = (values: ArrayLike<number>, token: number): number[] => {
    const k = values.length / count;
    return Array.from({ length: k }, (_, slot) => values[token * k + slot]);
  };
  const visits = Array.from({ length: count }, (_, token) => ({
    experts: chosen.map(({ experts }) => of(experts, token)),
    weights: chosen.map(({ weights }) => of(weights, token)),
  }));
  return { logits: row, normalizer: sum, visits };
}
