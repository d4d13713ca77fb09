// The rules of a config, and what it says of each layer.
import { describe, expect, it } from "vitest";
import { ConfigError, IndexError } from "../../src/core/errors.js";
import { presets } from "../../src/models/presets.js";
import { checkConfig, isSparseLayer, windowOf, type Qwen3Config } from "../../src/models/qwen3-config.js";

const toy = presets.toy;

describe("checkConfig", () => {
  it("returns what it was given", () => {
    expect(checkConfig(toy)).toBe(toy);
  });

  it.each<[keyof Qwen3Config | "rope.ropeTheta", Record<string, unknown>]>([
    ["vocabSize", { vocabSize: 0 }],
    ["hiddenSize", { hiddenSize: 1.5 }],
    ["numHiddenLayers", { numHiddenLayers: -1 }],
    ["headDim", { headDim: 31 }],
    ["headDim", { headDim: undefined }],
    ["numKeyValueHeads", { numKeyValueHeads: 3 }],
    ["rmsNormEps", { rmsNormEps: 0 }],
    ["rmsNormEps", { rmsNormEps: NaN }],
    ["initializerRange", { initializerRange: -1 }],
    ["tieWordEmbeddings", { tieWordEmbeddings: undefined }],
    ["rope.ropeTheta", { rope: { ropeType: "default", ropeTheta: 0 } }],
    ["slidingWindow", { slidingWindow: 0 }],
    ["layerTypes", { layerTypes: ["full_attention"] }],
    ["layerTypes", { layerTypes: ["full_attention", "chunked_attention"] }],
    ["layerTypes", { layerTypes: ["full_attention", "sliding_attention"] }],
    ["numExpertsPerTok", { numExpertsPerTok: 129 }],
    ["numExpertsPerTok", { numExpertsPerTok: 0 }],
    ["moeIntermediateSize", { moeIntermediateSize: 0 }],
    ["normTopkProb", { normTopkProb: undefined }],
    ["decoderSparseStep", { decoderSparseStep: 0 }],
    ["mlpOnlyLayers", { mlpOnlyLayers: [2] }],
    ["mlpOnlyLayers", { mlpOnlyLayers: [1, 1] }],
    ["routerAuxLossCoef", { routerAuxLossCoef: -0.1 }],
    ["numExpertsPerTok", { numExperts: 0 }],
    ["eosTokenId", { eosTokenId: [1, 260] }],
    ["padTokenId", { padTokenId: -1 }],
  ])("names %s where it is wrong", (field, change) => {
    const config = { ...toy, ...change };
    expect(() => checkConfig(config)).toThrow(ConfigError);
    expect(() => checkConfig(config)).toThrow(`${field}: must be`);
  });
});

describe("isSparseLayer and windowOf", () => {
  it("counts steps from 1 and skips the listed layers", () => {
    const config = { ...toy, numHiddenLayers: 6, decoderSparseStep: 2, mlpOnlyLayers: [3] };
    expect([0, 1, 2, 3, 4, 5].map((layer) => isSparseLayer(config, layer))).toEqual([
      false,
      true,
      false,
      false,
      false,
      true,
    ]);
    expect(isSparseLayer(presets["qwen3-0.6b"], 0)).toBe(false);
  });

  it("refuses layers that do not exist", () => {
    for (const layer of [-1, 2, 0.5]) {
      expect(() => isSparseLayer(toy, layer)).toThrow(IndexError);
      expect(() => windowOf(toy, layer)).toThrow(IndexError);
    }
  });
});
