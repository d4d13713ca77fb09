// Who sees whom, helper by helper: what attention lets through, read off its gradient, against the mask by hand.
import {
  Attention, chunkPositions, ConfigError, IndexError, markGlobal, packedPositions, paragraphTokens, scope, sequencePositions, ShapeError, tensor,
  weightsFrom, type AttentionOptions, type Backend, type Positions,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { normals, numbers } from "../tensor/numbers.js";
import { sees } from "./by-hand.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

type Mask = Pick<AttentionOptions, "causal" | "slidingWindow" | "sinks">;
const plain = { hiddenSize: 2, numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 2, qkNorm: false, rmsNormEps: 1e-6 };

/** For each row and query the columns it sees: those whose change reaches its output, by a block with one head. */
async function seen(positions: Positions, mask: Mask): Promise<string[]> {
  const [B, T] = positions.shape;
  const w = weightsFrom(backend, (path, shape) => tensor(backend, normals(path.length, shape[0] * shape[1]), shape));
  const block = new Attention(w, { ...plain, rope: { ropeType: "default", ropeTheta: 10 }, ...mask });
  const outputs = async (x: readonly number[]): Promise<number[]> =>
    numbers(scope(() => block.forward(tensor(backend, x, [B, T, 2]), { positions })));
  const x = normals(3, 2 * B * T);
  const before = await outputs(x);
  const sights = Array.from({ length: B * T }, () => "");
  for (let s = 0; s < T; s++) {
    const after = await outputs(x.map((value, i) => (Math.floor(i / 2) % T === s ? value + 1 : value)));
    for (let i = 0; i < B * T; i++)
      sights[i] += after[2 * i] !== before[2 * i] || after[2 * i + 1] !== before[2 * i + 1] ? "x" : ".";
  }
  return sights;
}

/** The same by the rule. A query that sees itself alone notices only its own column. */
function byHand({ shape: [B, T], position, segment }: Positions, mask: Mask): string[] {
  return Array.from({ length: B * T }, (_, i) =>
    Array.from({ length: T }, (_, s) => {
      const key = Math.floor(i / T) * T + s;
      const place = (at: number): { position: number; segment: number } => ({
        position: position[at],
        segment: segment[at],
      });
      return sees(place(i), place(key), mask) ? "x" : ".";
    }).join(""),
  );
}

describe("attention lets through what the rule says", () => {
  const mask = fc.record({ causal: fc.boolean(), slidingWindow: fc.nat(3), sinks: fc.nat(2) });
  const globals = fc.uniqueArray(fc.nat(5), { maxLength: 2 });
  const lengths = fc.array(fc.nat(3), { minLength: 1, maxLength: 2 });
  test.each<[string, fc.Arbitrary<Positions>]>([
    ["packed texts", fc.tuple(lengths, lengths, fc.constantFrom("left", "right")).map(([a, b, padding]) => packedPositions([a, b], { tokens: 6, padding: padding as "left" }))],
    ["chunks", fc.integer({ min: 1, max: 4 }).map((size) => chunkPositions(sequencePositions(1, 6), size))],
    ["global tokens", globals.map((columns) => markGlobal(sequencePositions(1, 6), [columns]))],
    ["padding on both sides, global tokens, chunks of packed texts", fc.tuple(lengths, globals).map(([a, columns]) => chunkPositions(markGlobal(packedPositions([a], { tokens: 6, padding: "left" }), [columns]), 2))],
  ])("%s", async (_, positions) => {
    await fc.assert(
      fc.asyncProperty(positions, mask, async (where, mask) => {
        expect(await seen(where, mask)).toEqual(byHand(where, mask));
      }),
      { numRuns: 25 },
    );
  }); // prettier-ignore

  test("a window with two global tokens, drawn", async () => {
    const positions = markGlobal(sequencePositions(1, 6), [[1, 4]]);
    expect(await seen(positions, { slidingWindow: 2 })).toEqual([
      "x.....",
      "xx....",
      ".xx...",
      ".xxx..",
      "xxxxx.",
      ".x..xx",
    ]);
    expect(await seen(positions, { slidingWindow: 2, sinks: 1 })).toEqual(["x.....", "xx....", "xxx...", "xxxx..", "xxxxx.", "xx..xx"]); // prettier-ignore
    expect(await seen(sequencePositions(1, 4), { slidingWindow: 1 })).toEqual(["x...", ".x..", "..x.", "...x"]);
    expect(await seen(sequencePositions(1, 4), { slidingWindow: 1, causal: false })).toEqual(["xx..", "xxx.", ".xxx", "..xx"]); // prettier-ignore
  });
});

describe("packedPositions", () => {
  test("counts each text from 0, numbers segments, fills up on either side", () => {
    const made = packedPositions([[2, 3], [4]]);
    expect(made.shape).toEqual([2, 5]);
    expect([...made.position]).toEqual([0, 1, 0, 1, 2, 0, 1, 2, 3, -1]);
    expect([...made.segment]).toEqual([0, 0, 1, 1, 1, 0, 0, 0, 0, 0]);
    const left = packedPositions([[1, 0, 2]], { tokens: 5, padding: "left" });
    expect([...left.position]).toEqual([-1, -1, 0, 0, 1]);
    expect([...left.segment]).toEqual([0, 0, 0, 2, 2]);
  });
  test("rows of nothing, and no rows", () => {
    expect(packedPositions([[]]).shape).toEqual([1, 0]);
    expect(packedPositions([]).shape).toEqual([0, 0]);
    expect([...packedPositions([[], [1]]).position]).toEqual([-1, 0]);
  });
  test("refuses what is no count, and rows that are too short", () => {
    for (const length of [-1, 0.5, NaN]) expect(() => packedPositions([[2, length]])).toThrow(IndexError);
    expect(() => packedPositions([[1], [2, 3]], { tokens: 4 })).toThrow("row 1 must hold at most 4 tokens, got 5");
    expect(() => packedPositions([[1]], { tokens: 1.5 })).toThrow(ConfigError);
  });
});

describe("chunkPositions", () => {
  test("segments tell apart both chunk and text, whatever is read at a time", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(20), fc.boolean()), { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), (tokens, size) => {
        const of = (some: typeof tokens): Int32Array =>
          chunkPositions({ shape: [1, some.length], position: Int32Array.from(some, ([, p]) => p), segment: Int32Array.from(some, ([s, , global]) => (global ? ~s : s)) }, size).segment;
        const all = of(tokens);
        expect(tokens.map((token) => of([token])[0])).toEqual([...all]);
        const text = (i: number): number => (all[i] < 0 ? ~all[i] : all[i]);
        for (const [i, [s, p, global]] of tokens.entries()) {
          expect(all[i] < 0).toBe(global);
          for (const [j, [t, r]] of tokens.entries())
            expect(text(i) === text(j)).toBe(s === t && Math.floor(p / size) === Math.floor(r / size));
        }
      }),
    ); // prettier-ignore
  });
  test("a chunk of all is no cut; padding stays; places stay", () => {
    const positions = { ...sequencePositions(1, 3, { mask: [[0, 1, 1]] }), places: new Int32Array(9) };
    expect(chunkPositions(positions, 3)).toEqual(positions);
  });
  test("refuses sizes that are none, and numbers that do not fit", () => {
    for (const size of [0, -1, 1.5, NaN])
      expect(() => chunkPositions(sequencePositions(1, 2), size)).toThrow(ConfigError);
    expect(() => chunkPositions(sequencePositions(1, 1, { start: [50_000] }), 1)).toThrow(IndexError);
    expect([...chunkPositions(sequencePositions(1, 1, { start: [46_339] }), 1).segment]).toEqual([46_339 ** 2]);
  });
});

describe("markGlobal", () => {
  test("marks once, in the row it names, and leaves what it was given", () => {
    const given = packedPositions([[1, 2], [3]]);
    const twice = markGlobal(markGlobal(given, [[0, 2, 2], []]), [[2], [1]]);
    expect([...twice.segment]).toEqual([~0, 1, ~1, 0, ~0, 0]);
    expect([...given.segment]).toEqual([0, 1, 1, 0, 0, 0]);
  });
  test("refuses other rows and columns", () => {
    expect(() => markGlobal(sequencePositions(2, 3), [[0]])).toThrow(ShapeError);
    for (const column of [-1, 3, 0.5])
      expect(() => markGlobal(sequencePositions(1, 3), [[column]])).toThrow(IndexError);
  });
});

describe("paragraphTokens", () => {
  const separators = [[10, 10], [271]];
  test("the first token of each paragraph, and the last of each separator", () => {
    //                      0  1  2   3   4  5  6    7  8
    expect(paragraphTokens([5, 6, 10, 10, 7, 8, 271, 9, 9], { separators })).toEqual([0, 3, 4, 6, 7]);
    expect(paragraphTokens([10, 10, 10, 5], { separators })).toEqual([0, 1, 2, 3]);
    expect(paragraphTokens([5, 10, 6], { separators })).toEqual([0]);
    expect(paragraphTokens([], { separators })).toEqual([]);
    expect(paragraphTokens([1, 2], { separators: [] })).toEqual([0]);
  });
  test("a text read in parts has the same ones", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(10, 10, 271, 5), { maxLength: 12 }), (ids) => {
        const parts = ids.flatMap((_, t) =>
          paragraphTokens(ids.slice(0, t + 1), { separators, from: t }).map((i) => i + t),
        );
        expect(parts).toEqual(paragraphTokens(ids, { separators }));
      }),
    );
  });
  test("refuses a separator of nothing", () => {
    expect(() => paragraphTokens([1], { separators: [[1], []] })).toThrow(ConfigError);
  });
});
