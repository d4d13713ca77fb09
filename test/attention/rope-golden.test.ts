// RoPE of every type against what transformers computes (test/golden/rope.py): read from config.json, inverse frequencies, tables.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { ropeFrequencies, ropeTable } from "../../src/attention/rope/frequencies.js";
import { mropeTable } from "../../src/attention/rope/mrope.js";
import { ropeTypes, type RopeOptions } from "../../src/attention/rope/rope-options.js";
import { JsonFields, type JsonObject } from "../../src/models/json-fields.js";
import { ropeFromJson } from "../../src/models/rope-json.js";
import { u } from "../tensor/numbers.js";

interface Golden {
  readonly name: string;
  readonly config: JsonObject & { readonly head_dim: number };
  readonly length: number;
  readonly attentionFactor: number;
  readonly inverseFrequencies: readonly number[];
  /** Which pairs `cos` and `sin` show, per row. */
  readonly pairs: readonly number[];
  /** One row each. */
  readonly positions?: readonly number[];
  /** Time, height and width of one row each. */
  readonly places?: readonly (readonly number[])[];
  readonly cos: readonly (readonly number[])[];
  readonly sin: readonly (readonly number[])[];
}

const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "../golden/rope.json"), "utf8")) as Golden[];
const optionsOf = ({ config }: Golden): RopeOptions => ropeFromJson(new JsonFields("config.json", config));

/**
 * How far, relative to a frequency and in units of u = 2^-24, two roundings of it may be apart. torch's pow is within a unit in the last place
 * (2 u) and ours within half of one; each of the `steps` after it rounds on both sides.
 */
const apart = (steps: number): number => 3 + 2 * steps;

/** What lies between a wavelength and a frequency. The ramp of yarn is the same on both sides. */
function bound(options: RopeOptions, frequency: number, i: number, pairs: number): number {
  switch (options.ropeType) {
    case "default":
    case "dynamic":
      return apart(1); // the reciprocal
    case "linear":
    case "longrope":
    case "proportional":
      return apart(2); // and a division or product
    case "yarn":
      return apart(4); // product, reciprocal, product with the ramp, sum
    case "llama3": {
      // Reciprocal, product, division, sum; and the blend t, made of the wavelength in 4 more steps, moves w between w / factor and w.
      const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: context } = options;
      const w = options.ropeTheta ** (-i / pairs);
      const t = (context * w) / (2 * Math.PI);
      const blends = frequency < w * (1 - 1e-6) && frequency > (w / factor) * (1 + 1e-6);
      return apart(4) + (blends ? ((apart(5) * t) / (high - low)) * (1 - 1 / factor) * (w / frequency) : 0);
    }
  }
}

test("every type and spelling is among them", () => {
  expect(golden.length).toBeGreaterThanOrEqual(40);
  expect(new Set(golden.map((one) => optionsOf(one).ropeType))).toEqual(new Set(ropeTypes));
  for (const spelling of ["rope_scaling", "rope_parameters"])
    expect(golden.some(({ config }) => spelling in config)).toBe(true);
});

describe.each(golden)("$name", (one) => {
  const { config, length, attentionFactor, inverseFrequencies, pairs, positions, places, cos, sin } = one;
  const options = optionsOf(one);

  test("frequencies", () => {
    const got = ropeFrequencies(config.head_dim, options, length);
    expect(got.inverseFrequencies).toHaveLength(inverseFrequencies.length);
    // Logarithms are within 1 ulp in either language, and so may the factors be.
    expect(Math.abs(got.attentionFactor / attentionFactor - 1)).toBeLessThanOrEqual(4 * 2 ** -53);
    inverseFrequencies.forEach((frequency, i) => {
      const most = bound(options, frequency, i, inverseFrequencies.length) * u * frequency;
      const found = got.inverseFrequencies[i];
      expect(Math.abs(found - frequency), `pair ${i}: ${found}, transformers ${frequency}`).toBeLessThanOrEqual(most);
    });
  });

  test("table", () => {
    // From transformers' own frequencies, so that nothing but the table is judged: far out an angle magnifies a last bit 262,143 times.
    const frequencies = { inverseFrequencies: Float32Array.from(inverseFrequencies), attentionFactor };
    const half = inverseFrequencies.length;
    const rows = positions
      ? positions.map((position) => ropeTable(frequencies, position, 1))
      : rowsOf(mropeTable(frequencies, options, Int32Array.from(places!.flat())), 2 * half);
    expect(rows).toHaveLength(cos.length);
    // There: the function within a unit in the last place (2 u), the factor in f32, the product. Here: one rounding.
    const most = (attentionFactor === 1 ? 3 : 5) * u * attentionFactor;
    rows.forEach((row, n) =>
      pairs.forEach((pair, p) => {
        const where = `row ${n}, pair ${pair}`;
        expect(Math.abs(row[pair] - cos[n][p]), `cosine, ${where}`).toBeLessThanOrEqual(most);
        expect(Math.abs(row[half + pair] - sin[n][p]), `sine, ${where}`).toBeLessThanOrEqual(most);
      }),
    );
  });
});

function rowsOf(table: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: table.length / width }, (_, i) => table.subarray(i * width, (i + 1) * width));
}
