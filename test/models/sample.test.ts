// Sampling from a few candidates must agree with sampling from the full row, and both with a plain filter-by-filter definition.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, FormatError, ShapeError } from "../../src/core/errors.js";
import { Random } from "../../src/core/random.js";
import { checkSampling, rankRow, sampleFrom, type Candidates, type SamplingOptions } from "../../src/models/sample.js";

/** Logits with many ties and some impossible tokens. */
const rows = fc
  .array(
    fc.oneof(fc.integer({ min: -6, max: 6 }), fc.constant(-Infinity), fc.double({ min: -8, max: 8, noNaN: true })),
    {
      minLength: 1,
      maxLength: 40,
    },
  )
  .filter((row) => row.some(Number.isFinite))
  .map((row) => Float32Array.from(row));

const options: fc.Arbitrary<SamplingOptions> = fc.record(
  {
    temperature: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0.05, max: 5, noNaN: true })),
    topK: fc.integer({ min: 1, max: 50 }),
    topP: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 1, noNaN: true })),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
  },
  { requiredKeys: [] },
);

const uniforms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("sampleFrom", () => {
  it("gives the full row's answer or none, and always one for the full row", () => {
    let decided = 0;
    let runs = 0;
    fc.assert(
      fc.property(rows, options, uniforms, fc.nat(40), (row, chosen, u, short) => {
        const full = rankRow(row);
        const mass = logSumExp(row, chosen.temperature ?? 1);
        const id = sampleFrom(full, mass, row.length, chosen, u);
        expect(id).toBeDefined();
        expect(row[id ?? 0]).toBeGreaterThan(-Infinity);
        const few = sampleFrom(best(full, 1 + short), mass, row.length, chosen, u);
        if (few !== undefined) expect(few).toBe(id);
        runs++;
        if (few !== undefined && short + 1 < row.length) decided++;
      }),
      { numRuns: 1000 },
    );
    expect(decided).toBeGreaterThan(runs / 10); // else the law above would hold by never answering
  });

  it("draws from the distribution that transformers' filters leave", () => {
    fc.assert(
      fc.property(rows, options, (row, chosen) => {
        const expected = filtered(row, chosen);
        const full = rankRow(row);
        const mass = logSumExp(row, chosen.temperature ?? 1);
        let before = 0;
        for (const id of full.ids) {
          // The middle of a token's share of [0, 1) must choose it.
          const middle = before + expected[id] / 2;
          if (expected[id] > 1e-9 && middle < 1) expect(sampleFrom(full, mass, row.length, chosen, middle)).toBe(id);
          before += expected[id];
        }
      }),
    );
  });

  it("is greedy at temperature 0, the lower id on ties", () => {
    const row = Float32Array.of(1, 3, -2, 3);
    expect(sampleFrom(best(rankRow(row), 1), NaN, 4, { temperature: 0, topP: 0.5 }, 0.9)).toBe(1);
  });

  it("keeps exactly k, and needs no log-sum-exp for it", () => {
    const few = best(rankRow(Float32Array.of(2, 5, 5, 5, 1)), 2);
    expect(sampleFrom(few, NaN, 5, { topK: 2 }, 0.49)).toBe(1);
    expect(sampleFrom(few, NaN, 5, { topK: 2 }, 0.99)).toBe(2);
    expect(sampleFrom(few, NaN, 5, { topK: 3 }, 0.1)).toBeUndefined();
  });

  it("keeps tokens exactly minP times as likely as the best", () => {
    expect(
      sampleFrom(rankRow(Float32Array.of(1, 1, 0)), logSumExp(Float32Array.of(1, 1, 0), 1), 3, { minP: 1 }, 0.9),
    ).toBe(1);
  });

  it("says so when the nucleus or the draw is outside the candidates", () => {
    const row = new Float32Array(100); // all equally likely
    const few = best(rankRow(row), 10);
    const mass = logSumExp(row, 1);
    expect(sampleFrom(few, mass, 100, { topP: 0.5 }, 0)).toBeUndefined();
    expect(sampleFrom(few, mass, 100, { topP: 0.045 }, 0.99)).toBe(4);
    expect(sampleFrom(few, mass, 100, { minP: 0.5 }, 0)).toBeUndefined();
    expect(sampleFrom(few, mass, 100, { topK: 20, topP: 0.1 }, 0)).toBeUndefined(); // the mass of the best 20 is not known
    const steep = best(rankRow(Float32Array.of(3, 2, 1, 0, 0)), 3);
    expect(sampleFrom(steep, NaN, 5, { topK: 4, topP: 0.1, minP: 0.3 }, 0)).toBeUndefined();
    expect(sampleFrom(steep, NaN, 5, { topK: 4, minP: 0.3 }, 0.99)).toBe(1);
    expect(sampleFrom(few, mass, 100, {}, 0.095)).toBe(9);
    expect(sampleFrom(few, mass, 100, {}, 0.105)).toBeUndefined();
  });

  it("follows the probabilities over many draws", () => {
    const row = Float32Array.of(0, 1, 2, 3);
    const random = new Random(7);
    const counts = [0, 0, 0, 0];
    const draws = 20_000;
    for (let i = 0; i < draws; i++) counts[sampleFrom(rankRow(row), logSumExp(row, 1), 4, {}, random.uniform()) ?? 0]++;
    const total = Math.exp(logSumExp(row, 1));
    row.forEach((logit, id) => {
      const p = Math.exp(logit) / total;
      expect(Math.abs(counts[id] - draws * p)).toBeLessThan(5 * Math.sqrt(draws * p * (1 - p)));
    });
  });

  it("survives temperatures near 0", () => {
    const row = Float32Array.of(30, 29.5, -30);
    expect(sampleFrom(rankRow(row), 30 / 1e-4, 3, { temperature: 1e-4 }, 0.999)).toBe(0);
  });

  it("refuses options, candidates and sums that cannot be", () => {
    const few = rankRow(Float32Array.of(1, 2));
    for (const wrong of [
      { temperature: -1 },
      { temperature: NaN },
      { topK: 0 },
      { topK: 1.5 },
      { topP: 0 },
      { topP: 1.1 },
      { minP: 2 },
    ]) {
      expect(() => checkSampling(wrong)).toThrow(ConfigError);
      expect(() => sampleFrom(few, 2, 2, wrong, 0)).toThrow(Object.keys(wrong)[0]);
    }
    expect(() => sampleFrom(few, 2, 2, {}, 1)).toThrow(ConfigError);
    expect(() => sampleFrom(few, 2, 1, {}, 0)).toThrow(ShapeError);
    expect(() => sampleFrom(best(few, 0), 2, 2, {}, 0)).toThrow(ShapeError);
    expect(() => sampleFrom(few, NaN, 2, {}, 0)).toThrow(FormatError);
    const broken = { logits: Float32Array.of(1, NaN), ids: Int32Array.of(1, 0) };
    expect(() => sampleFrom(broken, 2, 2, {}, 0)).toThrow(FormatError);
    expect(() => rankRow(broken.logits)).toThrow("token 1");
  });
});

describe("rankRow", () => {
  it("sorts descending, equal logits by id", () => {
    const { logits, ids } = rankRow(Float32Array.of(1, 4, -Infinity, 4));
    expect([...ids]).toEqual([1, 3, 0, 2]);
    expect([...logits]).toEqual([4, 4, 1, -Infinity]);
  });
});

function best({ logits, ids }: Candidates, n: number): Candidates {
  return { logits: logits.subarray(0, n), ids: ids.subarray(0, n) };
}

function logSumExp(row: Float32Array, temperature: number): number {
  if (temperature === 0) return NaN;
  const top = Math.max(...row) / temperature;
  return top + Math.log(row.reduce((total, logit) => total + Math.exp(logit / temperature - top), 0));
}

/** Probabilities after temperature, top-k, top-p and min-p, each applied to the renormalised result of the one before. */
function filtered(
  row: Float32Array,
  { temperature = 1, topK = Infinity, topP = 1, minP = 0 }: SamplingOptions,
): number[] {
  const order = [...rankRow(row).ids];
  if (temperature === 0) return normalised(row.length, order.slice(0, 1), () => 1);
  const weight = (id: number): number => Math.exp((row[id] - row[order[0]]) / temperature);
  let kept = order.slice(0, topK);
  let p = normalised(row.length, kept, weight);
  let before = 0;
  kept = kept.filter((id, rank) => {
    const keep = topP === 1 || rank === 0 || before < topP;
    before += p[id];
    return keep;
  });
  p = normalised(row.length, kept, weight);
  kept = kept.filter((id) => p[id] >= minP * p[kept[0]]);
  return normalised(row.length, kept, weight);
}

function normalised(length: number, kept: readonly number[], weight: (id: number) => number): number[] {
  const p = new Array<number>(length).fill(0);
  const total = kept.reduce((sum, id) => sum + weight(id), 0);
  for (const id of kept) p[id] = weight(id) / total;
  return p;
}
