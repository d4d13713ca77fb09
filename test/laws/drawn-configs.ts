// Decoders of drawn configurations: heads, groups, experts, dense layers, windows, tied or not.
import type { Qwen3Config } from "qwen-blocks";
import fc from "fast-check";
import { tinyConfig } from "../models/tiny.js";

export const configs: fc.Arbitrary<Qwen3Config> = fc
  .record({
    Hkv: fc.integer({ min: 1, max: 2 }),
    G: fc.integer({ min: 1, max: 3 }),
    headDim: fc.constantFrom(2, 4),
    layers: fc.integer({ min: 1, max: 3 }),
    tieWordEmbeddings: fc.boolean(),
    attentionBias: fc.boolean(),
    normTopkProb: fc.boolean(),
    numExperts: fc.integer({ min: 1, max: 5 }),
    k: fc.nat(4),
    decoderSparseStep: fc.integer({ min: 1, max: 2 }),
    slidingWindow: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
    // By name: what `auto` would pick on the oracle, which has no kernels, has bounds of its own.
    attnImplementation: fc.constantFrom("flash", "flash", "eager"),
  })
  .map(
    ({ Hkv, G, layers, k, ...rest }) =>
    tinyConfig({ ...rest, numKeyValueHeads: Hkv, numAttentionHeads: G * Hkv, numHiddenLayers: layers, numExpertsPerTok: 1 + (k % rest.numExperts) }), // prettier-ignore
  );
