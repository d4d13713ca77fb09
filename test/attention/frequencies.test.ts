// RoPE frequencies and tables against values computed by transformers 5.18 with torch 2.15 (modeling_rope_utils, Qwen3RotaryEmbedding).
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ropeFrequencies, ropeTable } from "../../src/attention/rope/frequencies.js";
import { mropeTable } from "../../src/attention/rope/mrope.js";
import { checkRopeOptions, rotaryDim, type RopeOptions } from "../../src/attention/rope/rope-options.js";
import { ConfigError, ShapeError } from "../../src/core/errors.js";

const qwenYarn = { ropeType: "yarn", ropeTheta: 1e6, factor: 4, originalMaxPositionEmbeddings: 32768 } as const;
const llama3 = {
  ropeType: "llama3",
  ropeTheta: 5e5,
  factor: 8,
  originalMaxPositionEmbeddings: 8192,
  lowFreqFactor: 1,
  highFreqFactor: 4,
} as const;
const dynamic = { ropeType: "dynamic", ropeTheta: 1e4, factor: 2, maxPositionEmbeddings: 100 } as const;
const longrope = {
  ropeType: "longrope",
  ropeTheta: 1e4,
  shortFactor: [1, 2],
  longFactor: [3, 4],
  originalMaxPositionEmbeddings: 100,
  factor: 4,
} as const;
const sections = { ropeType: "default", ropeTheta: 1e4, mropeSection: [16, 8, 8] } as const;

interface Golden {
  readonly name: string;
  readonly headDim: number;
  readonly options: RopeOptions;
  readonly attentionFactor: number;
  readonly pairs: number;
  readonly frequencies: readonly (readonly [pair: number, frequency: number])[];
}

// prettier-ignore
const golden: readonly Golden[] = [
  { name: "default, Qwen3", headDim: 128, options: { ropeType: "default", ropeTheta: 1e6 }, attentionFactor: 1, pairs: 64,
    frequencies: [[0, 1], [1, 0.8058422], [16, 0.03162278], [30, 0.0015399265], [32, 0.001], [48, 3.1622774e-05], [62, 1.5399265e-06], [63, 1.2409378e-06]] },
  { name: "default, 32 wide", headDim: 32, options: { ropeType: "default", ropeTheta: 1e4 }, attentionFactor: 1, pairs: 16,
    frequencies: [[0, 1], [1, 0.56234133], [4, 0.1], [6, 0.03162278], [8, 0.01], [12, 0.001], [14, 0.0003162278], [15, 0.00017782794]] },
  { name: "default, 96 wide", headDim: 96, options: { ropeType: "default", ropeTheta: 1e6 }, attentionFactor: 1, pairs: 48,
    frequencies: [[0, 1], [1, 0.7498942], [12, 0.03162278], [22, 0.0017782791], [24, 0.001], [36, 3.1622774e-05], [46, 1.7782799e-06], [47, 1.333521e-06]] },
  { name: "default, 80 wide", headDim: 80, options: { ropeType: "default", ropeTheta: 5e5 }, attentionFactor: 1, pairs: 40,
    frequencies: [[0, 1], [1, 0.72032046], [10, 0.03760603], [18, 0.002725609], [20, 0.0014142134], [30, 5.3182957e-05], [38, 3.8545936e-06], [39, 2.7765411e-06]] },
  { name: "linear", headDim: 64, options: { ropeType: "linear", ropeTheta: 1e4, factor: 3 }, attentionFactor: 1, pairs: 32,
    frequencies: [[0, 0.33333334], [1, 0.24996473], [8, 0.033333335], [14, 0.005927598], [16, 0.0033333332], [24, 0.00033333336], [30, 5.927598e-05], [31, 4.4450717e-05]] },
  { name: "yarn, the recipe of the Qwen3 model cards", headDim: 128, options: qwenYarn, attentionFactor: 1.138629436111989, pairs: 64,
    frequencies: [[0, 1], [1, 0.8058422], [16, 0.03162278], [30, 0.001064361], [32, 0.00060294115], [48, 7.905694e-06], [62, 3.8498163e-07], [63, 3.1023444e-07]] },
  { name: "yarn, explicit attention factor 1", headDim: 128, options: { ...qwenYarn, attentionFactor: 1 }, attentionFactor: 1, pairs: 64,
    frequencies: [[0, 1], [1, 0.8058422], [16, 0.03162278], [30, 0.001064361], [32, 0.00060294115], [48, 7.905694e-06], [62, 3.8498163e-07], [63, 3.1023444e-07]] },
  { name: "yarn, mscale pair", headDim: 64, options: { ropeType: "yarn", ropeTheta: 1e4, factor: 40, originalMaxPositionEmbeddings: 4096, mscale: 0.707, mscaleAllDim: 1 },
    attentionFactor: 0.9210423553163399, pairs: 32,
    frequencies: [[0, 1], [1, 0.7498942], [8, 0.1], [14, 0.012447956], [16, 0.0055000004], [24, 2.5e-05], [30, 4.4456983e-06], [31, 3.3338035e-06]] },
  { name: "yarn, mscaleAllDim 0 counts as absent", headDim: 64, options: { ...qwenYarn, mscale: 0.707, mscaleAllDim: 0 }, attentionFactor: 1.138629436111989, pairs: 32,
    frequencies: [[0, 1], [1, 0.64938164], [8, 0.03162278], [14, 0.0017785303], [16, 0.00058333337], [24, 7.905694e-06], [30, 5.9284343e-07], [31, 3.8498163e-07]] },
  { name: "yarn, ends of the ramp not rounded", headDim: 128, options: { ...qwenYarn, truncate: false, betaFast: 16, betaSlow: 2 }, attentionFactor: 1.138629436111989, pairs: 64,
    frequencies: [[0, 1], [1, 0.8058422], [16, 0.03162278], [30, 0.0011570936], [32, 0.00059568], [48, 7.905694e-06], [62, 3.8498163e-07], [63, 3.1023444e-07]] },
  { name: "yarn, half of the head", headDim: 128, options: { ...qwenYarn, partialRotaryFactor: 0.5 }, attentionFactor: 1.138629436111989, pairs: 32,
    frequencies: [[0, 1], [1, 0.64938164], [8, 0.03162278], [14, 0.0017785303], [16, 0.00058333337], [24, 7.905694e-06], [30, 5.9284343e-07], [31, 3.8498163e-07]] },
  { name: "yarn, context so short that the ramp starts at 0", headDim: 32, options: { ...qwenYarn, ropeTheta: 1e4, originalMaxPositionEmbeddings: 64 },
    attentionFactor: 1.138629436111989, pairs: 16,
    frequencies: [[0, 1], [1, 0.47799012], [4, 0.04], [6, 0.007905695], [8, 0.0025], [12, 0.00025], [14, 7.905695e-05], [15, 4.4456985e-05]] },
  { name: "yarn, ramp that ends beyond the last pair", headDim: 64, options: { ...qwenYarn, ropeTheta: 1e4, originalMaxPositionEmbeddings: 131072 },
    attentionFactor: 1.138629436111989, pairs: 32,
    frequencies: [[0, 1], [1, 0.7498942], [8, 0.1], [14, 0.017782794], [16, 0.01], [24, 0.0008846154], [30, 9.57535e-05], [31, 6.4111606e-05]] },
  { name: "yarn, ramp cut at r - 1", headDim: 64, options: { ...qwenYarn, ropeTheta: 10, originalMaxPositionEmbeddings: 1_000_000 }, attentionFactor: 1.138629436111989, pairs: 32,
    frequencies: [[0, 0.25], [1, 0.23264301], [8, 0.14058533], [14, 0.091293536], [16, 0.07905694], [24, 0.044456985], [30, 0.02886955], [31, 0.026865195]] },
  { name: "llama3", headDim: 128, options: llama3, attentionFactor: 1, pairs: 64,
    frequencies: [[0, 1], [1, 0.8146172], [16, 0.03760603], [30, 0.0013718937], [32, 0.000524846], [48, 6.6478697e-06], [62, 3.7673226e-07], [63, 3.068926e-07]] },
  { name: "llama3, factor 32", headDim: 64, options: { ...llama3, factor: 32 }, attentionFactor: 1, pairs: 32,
    frequencies: [[0, 1], [1, 0.6636013], [8, 0.03760603], [14, 0.003211446], [16, 0.0004295567], [24, 1.6619674e-06], [30, 1.419272e-07], [31, 9.4183065e-08]] },
];

describe("ropeFrequencies", () => {
  it.each(golden)("gives the numbers of transformers: $name", (example) => {
    const { headDim, options, attentionFactor, pairs, frequencies } = example;
    const got = ropeFrequencies(headDim, options);
    expect(got.inverseFrequencies).toHaveLength(pairs);
    expect(got.attentionFactor).toBe(attentionFactor);
    for (const [pair, frequency] of frequencies) {
      // Equal but for torch's own pow, which may be off by one unit in the last place.
      const distance = Math.abs(bitsOf(got.inverseFrequencies[pair]) - bitsOf(frequency));
      expect(distance, `pair ${pair}: ${got.inverseFrequencies[pair]}, transformers ${frequency}`).toBeLessThanOrEqual(
        1,
      );
    }
  });

  it("falls from 1 to about 1 / theta in the default rule, whatever the width", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 128 }), fc.double({ min: 2, max: 1e7, noNaN: true }), (half, ropeTheta) => {
        const { inverseFrequencies } = ropeFrequencies(2 * half, { ropeType: "default", ropeTheta });
        expect(inverseFrequencies).toHaveLength(half);
        expect(inverseFrequencies[0]).toBe(1);
        for (let i = 1; i < half; i++) expect(inverseFrequencies[i]).toBeLessThan(inverseFrequencies[i - 1]);
        expect(inverseFrequencies[half - 1]).toBeGreaterThanOrEqual(Math.fround(1 / ropeTheta));
      }),
    );
  });

  it("stretches no frequency of yarn and llama3 beyond factor, and none at factor 1", () => {
    const rules = [qwenYarn, llama3];
    for (const rule of rules) {
      const plain = ropeFrequencies(64, { ropeType: "default", ropeTheta: rule.ropeTheta }).inverseFrequencies;
      ropeFrequencies(64, rule).inverseFrequencies.forEach((frequency, i) => {
        expect(frequency / plain[i]).toBeLessThanOrEqual(1 + 1e-6);
        expect(frequency / plain[i]).toBeGreaterThanOrEqual((1 - 1e-6) / rule.factor);
      });
      const unscaled = ropeFrequencies(64, { ...rule, factor: 1 });
      unscaled.inverseFrequencies.forEach((frequency, i) => expect(frequency / plain[i]).toBeCloseTo(1, 6));
      expect(unscaled.attentionFactor).toBe(1);
    }
  });

  it.each<[string, number, unknown]>([
    ["headDim", 63, { ropeType: "default", ropeTheta: 1e4 }],
    ["headDim", 0, { ropeType: "default", ropeTheta: 1e4 }],
    ["partialRotaryFactor", 64, { ropeType: "default", ropeTheta: 1e4, partialRotaryFactor: 0.4 }],
    ["partialRotaryFactor", 64, { ropeType: "default", ropeTheta: 1e4, partialRotaryFactor: 1.5 }],
    ["ropeTheta", 64, { ropeType: "default", ropeTheta: 1 }],
    ["ropeTheta", 64, { ropeType: "default" }],
    ["ropeType", 64, { ropeTheta: 1e4 }],
    ["ropeType", 64, { ropeType: "ntk", ropeTheta: 1e4, factor: 2 }],
    ["ropeType", 2, dynamic],
    ["maxPositionEmbeddings", 64, { ...dynamic, maxPositionEmbeddings: undefined }],
    ["factor", 64, { ...dynamic, factor: undefined }],
    ["shortFactor", 6, longrope],
    ["longFactor", 4, { ...longrope, longFactor: [1, 0] }],
    ["longFactor", 4, { ...longrope, longFactor: 3 }],
    ["originalMaxPositionEmbeddings", 4, { ...longrope, originalMaxPositionEmbeddings: 1 }],
    ["factor", 4, { ...longrope, factor: undefined }],
    ["factor", 4, { ...longrope, factor: 0.5 }],
    ["maxPositionEmbeddings", 4, { ...longrope, factor: undefined, maxPositionEmbeddings: 2.5 }],
    ["attentionFactor", 4, { ...longrope, attentionFactor: -1 }],
    ["factor", 64, { ropeType: "proportional", ropeTheta: 1e4, factor: 0.5 }],
    ["partialRotaryFactor", 64, { ropeType: "proportional", ropeTheta: 1e4, partialRotaryFactor: -0.1 }],
    ["partialRotaryFactor", 64, { ropeType: "default", ropeTheta: 1e4, partialRotaryFactor: 0 }],
    ["mropeSection", 64, { ...sections, mropeSection: [16, 8, 9] }],
    ["mropeSection", 64, { ...sections, mropeSection: [16, 16] }],
    ["mropeSection", 64, { ...sections, mropeSection: [40, -4, -4] }],
    ["mropeSection", 64, { ...sections, partialRotaryFactor: 0.5 }],
    ["mropeInterleaved", 64, { ...sections, mropeInterleaved: "yes" }],
    ["mropeInterleaved", 64, { ...sections, mropeSection: undefined, mropeInterleaved: true }],
    ["ropeType", 64, undefined],
    ["factor", 64, { ropeType: "linear", ropeTheta: 1e4, factor: 0.5 }],
    ["originalMaxPositionEmbeddings", 64, { ...qwenYarn, originalMaxPositionEmbeddings: 0 }],
    ["attentionFactor", 64, { ...qwenYarn, attentionFactor: 0 }],
    ["betaSlow", 64, { ...qwenYarn, betaFast: 1, betaSlow: 32 }],
    ["mscale", 64, { ...qwenYarn, mscale: -1 }],
    ["truncate", 64, { ...qwenYarn, truncate: "yes" }],
    ["highFreqFactor", 64, { ...llama3, highFreqFactor: 1 }],
    ["lowFreqFactor", 64, { ...llama3, lowFreqFactor: NaN }],
  ])("names %s where it is wrong", (field, headDim, options) => {
    expect(() => ropeFrequencies(headDim, options as RopeOptions)).toThrow(ConfigError);
    expect(() => checkRopeOptions(headDim, options as RopeOptions)).toThrow(field);
  });

  it("depends on the length where the type does: dynamic beyond the context, longrope by two lists", () => {
    const of = (options: RopeOptions, length?: number): number[] => [
      ...ropeFrequencies(4, options, length).inverseFrequencies,
    ];
    const plain = of({ ropeType: "default", ropeTheta: 1e4 });
    expect(of(dynamic)).toEqual(plain);
    expect(of(dynamic, 100)).toEqual(plain);
    // r = 4, so the base grows by the square of 2 * 300 / 100 - 1 = 5, and the slowest pair is 5 times slower.
    expect(of(dynamic, 300)).toEqual([1, Math.fround(1 / 500)]);
    const divided = (f: readonly number[]): number[] => [Math.fround(1 / f[0]), Math.fround(1 / (100 * f[1]))];
    expect(of(longrope)).toEqual(divided(longrope.shortFactor));
    expect(of(longrope, 100)).toEqual(divided(longrope.shortFactor));
    expect(of(longrope, 101)).toEqual(divided(longrope.longFactor));
    expect(of(longrope, Infinity)).toEqual(divided(longrope.longFactor));
    expect(of({ ropeType: "default", ropeTheta: 1e4 }, 300)).toEqual(plain);
    for (const length of [Infinity, -1, 2.5]) expect(() => of(dynamic, length)).toThrow(ConfigError);
  });

  it("scales longrope by the growth of the context, however that is said", () => {
    const { factor, ...bare } = longrope;
    const scale = Math.sqrt(1 + Math.log(factor) / Math.log(100));
    expect(ropeFrequencies(4, longrope).attentionFactor).toBe(scale);
    expect(ropeFrequencies(4, { ...bare, maxPositionEmbeddings: 400 }).attentionFactor).toBe(scale);
    expect(ropeFrequencies(4, { ...bare, maxPositionEmbeddings: 50 }).attentionFactor).toBe(1);
    expect(ropeFrequencies(4, { ...longrope, attentionFactor: 0.9 }).attentionFactor).toBe(0.9);
  });

  it("turns floor(headDim * partialRotaryFactor) components", () => {
    expect(rotaryDim(128, { ropeType: "default", ropeTheta: 1e4 })).toBe(128);
    expect(rotaryDim(98, { ropeType: "default", ropeTheta: 1e4, partialRotaryFactor: 0.25 })).toBe(24);
  });
});

describe("ropeTable", () => {
  const yarn = ropeFrequencies(8, { ...qwenYarn, ropeTheta: 1e4, originalMaxPositionEmbeddings: 4096 });

  // Four cosines and four sines per position, as Qwen3RotaryEmbedding returns them.
  // prettier-ignore
  it.each([
    [0, [1.13862944, 1.13862944, 1.13862944, 1.13862944, 0, 0, 0, 0]],
    [1, [0.615204155, 1.13294101, 1.13860714, 1.13862944, 0.958123624, 0.11367327, 0.0071163876, 0.000284657377]],
    [4095, [-0.0751222074, 0.52361393, 1.01976228, 0.592277229, -1.13614857, 1.01109123, 0.506519377, 0.972463191]],
    [40959, [0.531622946, 0.84339112, -0.0524410941, -0.780972421, -1.00690329, -0.764963031, -1.13742113, -0.828588665]],
    [131071, [-0.931380093, 1.05907106, -0.823782921, 0.247341439, -0.654987097, 0.418145239, 0.786039889, 1.11144018]],
  ])("gives the numbers of transformers at position %i", (position, expected) => {
    const row = ropeTable(yarn, position, 1);
    // transformers takes the cosine in f32 and multiplies in f32: two roundings where there is one here.
    row.forEach((value, i) => expect(Math.abs(value - expected[i])).toBeLessThanOrEqual(2 ** -22));
  });

  it("is the same table wherever it is cut", () => {
    fc.assert(
      fc.property(fc.nat(5000), fc.nat(20), fc.nat(20), (first, upper, lower) => {
        const whole = ropeTable(yarn, first, upper + lower);
        const parts = [...ropeTable(yarn, first, upper), ...ropeTable(yarn, first + upper, lower)];
        expect([...whole]).toEqual(parts);
      }),
    );
  });

  it("takes the sections of multimodal RoPE from three places, and from one where they are equal", () => {
    const section = [4, 2, 2] as const;
    const plain = ropeFrequencies(16, { ropeType: "default", ropeTheta: 1e4 });
    const rowOf = (mropeInterleaved: boolean, ...places: number[]): number[] => [
      ...mropeTable(plain, { ropeType: "default", ropeTheta: 1e4, mropeSection: section, mropeInterleaved }, Int32Array.from(places)), // prettier-ignore
    ];
    const at = (position: number): number[] => [...ropeTable(plain, position, 1)];
    const [time, height, width] = [at(7), at(300), at(5000)];
    const mixed = (axes: string): number[] =>
      Array.from({ length: 16 }, (_, i) => ({ t: time, h: height, w: width })[axes[i % 8] as "t"][i]);
    expect(rowOf(false, 7, 300, 5000)).toEqual(mixed("tttthhww"));
    // Pairs 1, 4 and 2, 5 of 8; pair 7 would be a third of height.
    expect(rowOf(true, 7, 300, 5000)).toEqual(mixed("thwthwtt"));
    for (const interleaved of [false, true]) expect(rowOf(interleaved, 300, 300, 300)).toEqual(height);
  });

  it("refuses places without sections, and places that are not three rows", () => {
    expect(() => mropeTable(yarn, qwenYarn, new Int32Array(3))).toThrow(ConfigError);
    const options = { ...qwenYarn, mropeSection: [2, 1, 1] } as const;
    expect(() => mropeTable(yarn, options, new Int32Array(4))).toThrow(ShapeError);
  });

  it("refuses rows that are not numbers of rows", () => {
    expect(() => ropeTable(yarn, -1, 4)).toThrow(ConfigError);
    expect(() => ropeTable(yarn, 0, 1.5)).toThrow(ConfigError);
  });
});

function bitsOf(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0];
}
