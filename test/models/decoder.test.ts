// A decoder that is no Qwen3 generates: by `generate` and `DecodeStep`, which gives what the whole text gives without a cache.
import {
  Attention, DecoderBlock, disposeAll, Embedding, generate, MoELayer, PagedCache, randomWeights, scope, sequencePositions, SigmoidRouter,
  stepWithoutCache, SwigluMlp, tensor, type Backend, type Decoder, type DecoderBlockContext, type ForwardOptions, type Tensor, type Weights,
} from "qwen-blocks"; // prettier-ignore
import { expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";

const [vocabSize, hiddenSize, headDim, rmsNormEps] = [11, 8, 4, 1e-6];

/** A window with sinks over sigmoid-routed experts, then full attention over a dense feed-forward. */
class Mixed implements Decoder {
  readonly config = { vocabSize };
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderBlock[];
  readonly #backend: Backend;

  constructor(w: Weights) {
    this.#backend = w.backend;
    this.embedTokens = new Embedding(w.at("embedTokens"), { vocabSize, hiddenSize });
    const router = new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true });
    const heads = { hiddenSize, numAttentionHeads: 2, numKeyValueHeads: 1, headDim, qkNorm: true, rmsNormEps, rope: { ropeType: "default", ropeTheta: 100 } } as const; // prettier-ignore
    const shared = { sharedExpertIntermediateSize: 6, sharedExpertGate: true };
    const mlps = [
      new MoELayer(w.at("moe"), { hiddenSize, moeIntermediateSize: 5, numExperts: 4, router, ...shared }),
      new SwigluMlp(w.at("dense"), { hiddenSize, intermediateSize: 6 }),
    ];
    this.layers = mlps.map((mlp, i) => {
      const own = i === 0 ? { ...heads, slidingWindow: 3, sinks: 1 } : heads;
      const selfAttn = new Attention(w.at("attention").at(i), own);
      return new DecoderBlock(w.at("layers").at(i), { hiddenSize, rmsNormEps, selfAttn, mlp });
    });
  }

  get backend(): Backend {
    return this.#backend;
  }

  makeCache({ maxLength }: { readonly maxLength: number }): PagedCache {
    const sizes = { batch: 1, maxLength, numHiddenLayers: 2, numKeyValueHeads: 1, headDim, pageSize: 2, capacity: 2 };
    return new PagedCache(this.#backend, sizes);
  }

  forward(ids: readonly ArrayLike<number>[], { cache }: ForwardOptions = {}): Tensor {
    return scope(() => {
      const positions = sequencePositions(1, ids[0].length, { start: cache?.lengths });
      const step = cache ? cache.begin(positions) : stepWithoutCache(this.#backend, positions);
      const all = this.runStep(tensor(this.#backend, Int32Array.from(ids[0]), [1, ids[0].length]), { step, cache });
      return all.window([1, 1, vocabSize], "f32", (ids[0].length - 1) * vocabSize);
    });
  }

  runStep(ids: Tensor, context: DecoderBlockContext): Tensor {
    let x = this.embedTokens.forward(ids);
    this.layers.forEach((block, layer) => (x = block.forward(x, { ...context, layer })));
    return this.embedTokens.logits(x);
  }
}

test.each(availableBackends)(
  "generates what its logits without a cache say, and leaves nothing, $name",
  async ({ open }) => {
    await using backend = await open();
    const before = backend.memory.usage().buffers;
    const model = new Mixed(randomWeights(backend, 3, { initializerRange: 0.4 }));
    const text = [1, 4, 2, 8, 5];
    const made: number[] = [];
    for await (const id of generate(model, text, { maxNewTokens: 9, temperature: 0 })) made.push(id);
    for (const id of made) {
      using logits = model.forward([text]);
      const row = [...(await logits.data())];
      // Caches change sums in their last bits alone; the two best logits are further apart.
      expect(id).toBe(row.indexOf(Math.max(...row)));
      text.push(id);
    }
    expect(made.length).toBe(9);
    disposeAll(model);
    expect(backend.memory.usage().buffers).toBe(before);
  },
);
