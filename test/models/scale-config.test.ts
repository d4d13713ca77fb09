// Scaled models keep proportions and stay valid at any scale.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/core/errors.js";
import { presets, type PresetName } from "../../src/models/presets.js";
import { checkConfig, isSparseLayer, type Qwen3Config } from "../../src/models/qwen3-config.js";
import { scaleConfig } from "../../src/models/scale-config.js";

const names = Object.keys(presets) as PresetName[];
const widths = ["hiddenSize", "intermediateSize", "moeIntermediateSize", "headDim"] as const;

describe("scaleConfig", () => {
  it.each(names)("leaves %s alone at scale 1", (name) => {
    expect(scaleConfig(presets[name], 1)).toEqual(presets[name]);
  });

  it("keeps proportions, in multiples of 32, and gives valid configs", () => {
    const scales = fc.double({ min: 1e-3, max: 4, noNaN: true });
    fc.assert(
      fc.property(fc.constantFrom(...names), scales, fc.boolean(), (name, scale, mixed) => {
        const config = {
          ...presets[name],
          ...(mixed && { layerTypes: alternating(presets[name]), slidingWindow: 64 }),
        };
        const scaled = scaleConfig(config, scale);
        checkConfig(scaled);
        for (const field of widths) {
          expect(scaled[field] % 32).toBe(0);
          expect(scaled[field]).toBeGreaterThanOrEqual(config[field] * scale - 1e-6);
          expect(scaled[field]).toBeLessThan(config[field] * scale + 32.001);
        }
        const ratio = config.numAttentionHeads / config.numKeyValueHeads;
        const own = scaled.numAttentionHeads / scaled.numKeyValueHeads;
        expect(own === ratio || (own < ratio && scaled.numKeyValueHeads === 1)).toBe(true);
        const width = (config.numAttentionHeads * config.headDim * scale) / scaled.headDim;
        expect(Math.abs(scaled.numAttentionHeads - width)).toBeLessThanOrEqual(Math.max(1, ratio / 2 + 0.5));
        expect(scaled.numExperts).toBe(config.numExperts);
        expect(scaled.numExpertsPerTok).toBe(config.numExpertsPerTok);
      }),
    );
  });

  it("does not round up what floating point adds", () => {
    expect(1.1 * 1600).toBeGreaterThan(1760);
    expect(scaleConfig({ ...presets.toy, hiddenSize: 1600 }, 1.1).hiddenSize).toBe(1760);
  });

  it("gives layers the kind of those at the same depth", () => {
    const config: Qwen3Config = {
      ...presets.toy,
      numHiddenLayers: 8,
      mlpOnlyLayers: [0, 4, 5],
      slidingWindow: 16,
      layerTypes: alternating({ numHiddenLayers: 8 }),
    };
    expect(scaleConfig(config, 0.5)).toMatchObject({
      numHiddenLayers: 4,
      mlpOnlyLayers: [0, 2],
      layerTypes: ["full_attention", "full_attention", "full_attention", "full_attention"],
    });
    expect(scaleConfig(config, 1, { numHiddenLayers: 16 }).mlpOnlyLayers).toEqual([0, 1, 8, 9, 10, 11]);
  });

  it("keeps a sparse layer however few are left", () => {
    const config = { ...presets.toy, numHiddenLayers: 8, decoderSparseStep: 4 };
    const scaled = scaleConfig(config, 1 / 8);
    expect(scaled.numHiddenLayers).toBe(1);
    expect(isSparseLayer(scaled, 0)).toBe(true);
  });

  it("follows overrides", () => {
    const scaled = scaleConfig(presets["qwen3-15b-a2b"], 1 / 8, { headDim: 128, numExperts: 16, numExpertsPerTok: 2 });
    expect(scaled).toMatchObject({ numAttentionHeads: 4, numKeyValueHeads: 1, numExperts: 16, numExpertsPerTok: 2 });
    expect(scaled).toMatchObject({ hiddenSize: 256, moeIntermediateSize: 96, numHiddenLayers: 3 });
  });

  it("refuses scales that are not positive, and overrides that do not fit", () => {
    for (const scale of [0, -1, NaN, Infinity]) expect(() => scaleConfig(presets.toy, scale)).toThrow(ConfigError);
    expect(() => scaleConfig(presets.toy, 1, { headDim: 33 })).toThrow(ConfigError);
    expect(() => scaleConfig(presets.toy, 1, { numExperts: 4 })).toThrow("numExpertsPerTok");
  });
});

function alternating({
  numHiddenLayers,
}: Pick<Qwen3Config, "numHiddenLayers">): ("full_attention" | "sliding_attention")[] {
  return Array.from({ length: numHiddenLayers }, (_, layer) =>
    layer % 2 === 0 ? "full_attention" : "sliding_attention",
  );
}
