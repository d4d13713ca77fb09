// The presets are the models they are named after, and cannot be changed by accident.
import { describe, expect, it } from "vitest";
import { countParameters } from "../../src/models/count-parameters.js";
import { presets, type PresetName } from "../../src/models/presets.js";
import { checkConfig } from "../../src/models/qwen3-config.js";
import { scaleConfig } from "../../src/models/scale-config.js";

const names = Object.keys(presets) as PresetName[];

describe("presets", () => {
  it.each(names)("%s obeys the rules and is frozen all the way down", (name) => {
    expect(checkConfig(presets[name])).toBe(presets[name]);
    expect(Object.isFrozen(presets)).toBe(true);
    expect(Object.isFrozen(presets[name])).toBe(true);
    for (const value of Object.values(presets[name])) expect(Object.isFrozen(value)).toBe(true);
  });

  it("differ where their names say", () => {
    expect(presets["qwen3-15b-a2b"]).toEqual({ ...presets["qwen3-30b-a3b"], numHiddenLayers: 24 });
    expect(presets["qwen3-15b-a2b"]).toMatchObject({ headDim: 128, normTopkProb: true });
    expect(presets["hf-default"]).toMatchObject({
      headDim: 64,
      normTopkProb: false,
      maxPositionEmbeddings: 32768,
      rope: { ropeTheta: 10_000 },
    });
    expect(presets["hf-default"]).not.toHaveProperty("eosTokenId");
    expect(presets["qwen3-0.6b"].tieWordEmbeddings).toBe(true);
    expect(presets["qwen3-8b"].tieWordEmbeddings).toBe(false);
  });

  it("has a toy that is 15B-A2B at 1/32, with two layers and a small vocabulary", () => {
    const { vocabSize, maxPositionEmbeddings, rope, tieWordEmbeddings } = presets.toy;
    const own = { vocabSize, maxPositionEmbeddings, rope, tieWordEmbeddings, numHiddenLayers: 2 };
    const scaled = scaleConfig(presets["qwen3-15b-a2b"], 1 / 32, {
      ...own,
      bosTokenId: undefined,
      eosTokenId: undefined,
    });
    expect(scaled).toEqual(presets.toy);
    expect(countParameters(presets.toy)).toMatchObject({ total: 1_647_296, active: 172_736 });
  });
});
