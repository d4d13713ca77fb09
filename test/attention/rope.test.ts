// RoPE as an op and as a table: what is kept, what turns, and when the table grows.
import { ConfigError, matmul, record, RecordingError, reshape, Rope, rope, ropeFrequencies, ropeTable, tensor, type Backend, type RopeOptions } from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, ints, normals, numbers, u, usage } from "../tensor/numbers.js";
import { turned } from "./by-hand.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const options: RopeOptions = { ropeType: "default", ropeTheta: 100 };
const norm = (x: readonly number[]): number => Math.hypot(...x);

describe("the rope op with a Rope's table", () => {
  test("is the rotation by halves; the components past the turned part keep every bit", async () => {
    for (const [d, share] of [
      [4, 1],
      [8, 0.5],
      [6, 1 / 3],
    ]) {
      // prettier-ignore
      using table = new Rope(backend, d, { ...options, partialRotaryFactor: share });
      const x = normals(1, 3 * 2 * d);
      const positions = [0, 5, 1000];
      const y = await numbers(
        rope(tensor(backend, x, [1, 3, 2, d]), table.table(1001), ints(backend, positions, [1, 3])),
      );
      for (let i = 0; i < 6; i++) {
        const head = x.slice(i * d, (i + 1) * d);
        const expected = turned(head, positions[i >> 1], table.options);
        const r = Math.round(d * share);
        // cos and sin are rounded once each, their products and the sum at most once each: 3 u of |a| + |b|.
        expectWithin(y.slice(i * d, (i + 1) * d), expected, expected.map((_, j) => (j < r ? 3 * u * 2 * norm(head) : 0))); // prettier-ignore
        expect(y.slice(i * d + r, (i + 1) * d)).toEqual(head.slice(r));
      }
      expect(y.slice(0, 2 * d)).toEqual(x.slice(0, 2 * d)); // position 0 turns nothing
    }
  });

  test("dot products depend on the distance alone, in both layouts", async () => {
    using table = new Rope(backend, 8, options);
    const at = fc.integer({ min: 0, max: 200 });
    await fc.assert(
      fc.asyncProperty(
        at,
        at,
        at,
        fc.constantFrom("half" as const, "interleaved" as const),
        fc.nat(),
        async (m, n, shift, layout, seed) => {
          const [q, k] = [normals(seed, 8), normals(seed + 1, 8)];
          const dot = async (i: number, j: number): Promise<number> => {
            const rows = ints(backend, [i, j], [1, 2]);
            const both = rope(tensor(backend, [...q, ...k], [1, 2, 1, 8]), table.table(401), rows, { layout });
            const matrix = reshape(both, [2, 8]);
            return (await numbers(matmul(matrix, matrix, { transposeB: true })))[1];
          };
          // Angles up to 401 are rounded to f32, off by 2^-16 (half a unit in the last place of 2^8..2^9 is 2^-16), four of them; and 8 u.
          const bound = (4 * 2 ** -16 + 8 * u) * norm(q) * norm(k);
          expectWithin([await dot(m + shift, n + shift)], [await dot(m, n)], [bound]);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("inverse turns back", async () => {
    using table = new Rope(backend, 6, options);
    const x = normals(3, 12);
    const rows = ints(backend, [17, 3], [1, 2]);
    const there = rope(tensor(backend, x, [1, 2, 1, 6]), table.table(18), rows);
    const back = await numbers(rope(there, table.table(18), rows, { inverse: true }));
    // Two rotations, 3 u of |a| + |b| each, the first one's error turned by the second; cos^2 + sin^2 = 1 within 4 u.
    expectWithin(back, x, x.map((_, i) => 16 * u * norm(x.slice(i < 6 ? 0 : 6, i < 6 ? 6 : 12)))); // prettier-ignore
  });
});

describe("Rope", () => {
  test("its table has at least the rows asked for, and keeps the old ones when it grows", async () => {
    await expectNoLeak(backend, async () => {
      using table = new Rope(backend, 4, options);
      const small = table.table(10);
      expect(small.shape[0]).toBeGreaterThanOrEqual(10);
      expect(table.table(small.shape[0])).toBe(small);
      const before = await numbers(small);
      const large = table.table(small.shape[0] + 1);
      expect(small.disposed).toBe(true);
      expect(large.shape[0]).toBeGreaterThan(small.shape[0]);
      const after = await numbers(large);
      expect(after.slice(0, before.length)).toEqual(before);
      const direct = ropeTable(ropeFrequencies(4, options), small.shape[0], 1);
      expect(after.slice(before.length, before.length + 4)).toEqual([...direct]);
    });
  });

  test("each row is cosines, then sines, of position times frequency", () => {
    const [first] = [ropeTable(ropeFrequencies(4, { ropeType: "default", ropeTheta: 100 }), 3, 1)];
    // w = 1, 1/10.
    expect([...first]).toEqual([Math.cos(3), Math.cos(Math.fround(3 * Math.fround(0.1))), Math.sin(3), Math.sin(Math.fround(3 * Math.fround(0.1)))].map(Math.fround)); // prettier-ignore
  });

  test("growing inside record is a RecordingError, and the table lives on", () => {
    using table = new Rope(backend, 4, options);
    const before = table.table(1);
    expect(() => record(backend, () => table.table(before.shape[0] + 1))).toThrow(RecordingError);
    expect(before.disposed).toBe(false);
    expect(table.table(1)).toBe(before);
  });

  test.each([3, 0, -2, 2.5])("refuses headDim %d", (headDim) => {
    const before = usage(backend);
    expect(() => new Rope(backend, headDim, options)).toThrow(ConfigError);
    expect(usage(backend)).toEqual(before);
  });
});
