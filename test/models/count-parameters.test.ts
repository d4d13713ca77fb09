// Parameter counts of known models, against a list of every tensor, and what follows from them in bytes.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.js";
import { countParameters } from "../../src/models/count-parameters.js";
import { estimateMemory } from "../../src/models/estimate-memory.js";
import { presets, type PresetName } from "../../src/models/presets.js";
import { isSparseLayer, type Qwen3Config } from "../../src/models/qwen3-config.js";

/** The checkpoint's tensors of one layer, as [elements, elements that one token uses]. */
function tensorsOf(config: Qwen3Config, layer: number): [number, number][] {
  const { hiddenSize: D, headDim: d, numExperts: E, moeIntermediateSize: I, intermediateSize: F } = config;
  const [Q, K] = [config.numAttentionHeads * d, config.numKeyValueHeads * d];
  const dense = [D, D, Q * D, K * D, K * D, D * Q, d, d];
  if (config.attentionBias) dense.push(Q, K, K, D);
  if (!isSparseLayer(config, layer)) dense.push(F * D, F * D, D * F);
  else dense.push(E * D);
  const experts = isSparseLayer(config, layer) ? E : 0;
  return [
    ...dense.map((size): [number, number] => [size, size]),
    ...Array.from({ length: 3 * experts }, (_, i): [number, number] => [
      I * D,
      i < 3 * config.numExpertsPerTok ? I * D : 0,
    ]),
  ];
}

describe("countParameters", () => {
  it.each<[PresetName, number, number]>([
    ["qwen3-15b-a2b", 15_577_227_264, 1_987_682_304],
    ["qwen3-30b-a3b", 30_532_122_624, 3_353_032_704],
    ["hf-default", 15_350_731_776, 1_761_186_816],
    ["qwen3-0.6b", 596_049_920, 596_049_920],
    ["qwen3-8b", 8_190_735_360, 8_190_735_360],
  ])("knows %s", (name, total, active) => {
    expect(countParameters(presets[name])).toMatchObject({ total, active });
    expect(countParameters(presets[name]).perLayer).toHaveLength(presets[name].numHiddenLayers);
  });

  it("knows the layer of 30B-A3B", () => {
    expect(countParameters(presets["qwen3-30b-a3b"]).perLayer[0]).toEqual({ total: 623_120_640, active: 56_889_600 });
  });

  it("is the sum of the checkpoint's tensors: tied, biased, dense, sparse or mixed", () => {
    const drawn = fc.record({
      tieWordEmbeddings: fc.boolean(),
      attentionBias: fc.boolean(),
      numHiddenLayers: fc.constant(6),
      decoderSparseStep: fc.integer({ min: 1, max: 7 }),
      mlpOnlyLayers: fc.uniqueArray(fc.nat(5)),
      numExperts: fc.integer({ min: 3, max: 9 }),
      numExpertsPerTok: fc.integer({ min: 1, max: 3 }),
      hiddenSize: fc.integer({ min: 1, max: 100 }),
      moeIntermediateSize: fc.integer({ min: 1, max: 100 }),
    });
    fc.assert(
      fc.property(drawn, (fields) => {
        const config = { ...presets.toy, ...fields };
        const count = countParameters(config);
        const layers = Array.from({ length: 6 }, (_, layer) => tensorsOf(config, layer));
        const outside = config.hiddenSize * (1 + config.vocabSize * (config.tieWordEmbeddings ? 1 : 2));
        expect(count.perLayer).toEqual(layers.map((sizes) => ({ total: sum(sizes, 0), active: sum(sizes, 1) })));
        expect(count.total).toBe(outside + sum(layers.flat(), 0));
        expect(count.active).toBe(outside + sum(layers.flat(), 1));
      }),
    );
  });

  it("refuses a broken config", () => {
    expect(() => countParameters({ ...presets.toy, headDim: 31 })).toThrow(ConfigError);
  });
});

describe("estimateMemory", () => {
  const config = presets["qwen3-30b-a3b"];

  it("has 96 KiB of 16-bit cache per token in 30B-A3B", () => {
    const estimate = estimateMemory(config, { bitsPerWeight: 4.5, tokens: 32_768, bitsPerCacheElement: 16 });
    expect(estimate.kvCache).toBe(32_768 * 98_304);
    expect(estimate.weights).toBe((30_532_122_624 * 4.5) / 8);
    expect(estimate).toMatchObject({ gradients: 0, optimizer: 0, total: estimate.weights + estimate.kvCache });
    expect(estimateMemory(config, { batch: 3, tokens: 10 }).kvCache).toBe(3 * 10 * 2 * 98_304);
  });

  it("adds gradients and two moments in training", () => {
    const parameters = countParameters(presets.toy).total;
    const estimate = estimateMemory(presets.toy, { tokens: 0, training: true });
    expect(estimate).toEqual({
      weights: 4 * parameters,
      kvCache: 0,
      gradients: 4 * parameters,
      optimizer: 8 * parameters,
      total: 16 * parameters,
    });
  });

  it("names the option that is out of range", () => {
    expect(() => estimateMemory(config, { tokens: -1 })).toThrow(ConfigError);
    expect(() => estimateMemory(config, { tokens: 1, bitsPerWeight: NaN })).toThrow("bitsPerWeight");
  });
});

function sum(sizes: readonly [number, number][], column: 0 | 1): number {
  return sizes.reduce((total, size) => total + size[column], 0);
}
