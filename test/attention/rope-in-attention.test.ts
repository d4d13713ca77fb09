// Attention under every rule of RoPE: against a loop in f64, and a text read in pieces behind a cache against the same text at once. Rules
// whose speeds depend on the length, and tokens that stand at three places, are where pieces could come apart.
import {
  Attention, ConfigError, DenseCache, IndexError, Rope, ropeFrequencies, ropeTable, scope, sequencePositions, ShapeError, stepWithoutCache, tensor,
  weightsFrom, type AttentionContext, type AttentionOptions, type Backend, type Positions, type RopeOptions,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, normals, numbers } from "../tensor/numbers.js";
import { attend, boundOf, type AttentionWeights, type Token } from "./by-hand.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

type Options = Omit<AttentionOptions, "rope"> & { readonly rope: RopeOptions };
const [D, H, Hkv, d] = [6, 4, 2, 12];
const optionsWith = (rope: RopeOptions): Options => ({
  ...{ hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: Hkv, headDim: d, qkNorm: true, rmsNormEps: 1e-6, rope },
});
const w: AttentionWeights = {
  qkv: normals(1, (H + 2 * Hkv) * d * D, 0.6),
  o: normals(2, D * H * d, 0.6),
  qNorm: normals(3, d).map((x) => 1 + x / 2),
  kNorm: normals(4, d).map((x) => 1 + x / 2),
};
const given: Record<string, readonly number[]> = { "qkvProj.weight": w.qkv, "oProj.weight": w.o, "qNorm.weight": w.qNorm, "kNorm.weight": w.kNorm }; // prettier-ignore
const blockOf = (options: Options): Attention =>
  new Attention(weightsFrom(backend, (path, shape) => tensor(backend, given[path], shape)), options); // prettier-ignore

const positionsOf = (tokens: readonly Token[]): Positions => ({
  shape: [1, tokens.length],
  position: Int32Array.from(tokens, ({ position }) => position),
  segment: new Int32Array(tokens.length),
  ...(tokens.some(({ places }) => places) && {
    places: Int32Array.from([0, 1, 2].flatMap((axis) => tokens.map(({ position, places }) => places?.[axis] ?? position))), // prettier-ignore
  }),
});
async function forward(block: Attention, tokens: readonly Token[], context: AttentionContext): Promise<number[]> {
  const x = tensor(backend, tokens.flatMap(({ x }) => x), [1, tokens.length, D]); // prettier-ignore
  return numbers(block.forward(x, context));
}
const text = (count: number): Token[] =>
  Array.from({ length: count }, (_, position) => ({ x: normals(10 + position, D), position }));

const rules: Readonly<Record<string, RopeOptions>> = {
  linear: { ropeType: "linear", ropeTheta: 100, factor: 3 },
  "dynamic beyond its context": { ropeType: "dynamic", ropeTheta: 100, factor: 2, maxPositionEmbeddings: 4 },
  yarn: { ropeType: "yarn", ropeTheta: 100, factor: 4, originalMaxPositionEmbeddings: 20, partialRotaryFactor: 0.5 },
  "longrope beyond its context": { ropeType: "longrope", ropeTheta: 100, factor: 2, originalMaxPositionEmbeddings: 4, shortFactor: [1, 1, 1, 1, 1, 1], longFactor: [1, 2, 3, 4, 5, 6] }, // prettier-ignore
  llama3: { ropeType: "llama3", ropeTheta: 100, factor: 8, originalMaxPositionEmbeddings: 60, lowFreqFactor: 1, highFreqFactor: 4 }, // prettier-ignore
  proportional: { ropeType: "proportional", ropeTheta: 100, partialRotaryFactor: 0.4 },
  "a third of the head": { ropeType: "default", ropeTheta: 100, partialRotaryFactor: 1 / 3 },
};
const sections: RopeOptions = { ropeType: "default", ropeTheta: 100, mropeSection: [3, 1, 2] };

/** Two tokens of text, an image of 2 x 2, and text again, which goes on after the greatest place. */
const image: readonly Token[] = (
  [[0, 0, 0], [1, 1, 1], [2, 2, 2], [2, 2, 3], [2, 3, 2], [2, 3, 3], [4, 4, 4], [5, 5, 5]] as const
).map((places, position) => ({ x: normals(50 + position, D), position, places })); // prettier-ignore

describe("Attention", () => {
  test.each(Object.entries(rules))("is the formula: %s", async (_, rope) => {
    const options = optionsWith(rope);
    const tokens = text(9);
    const { inverseFrequencies, attentionFactor } = ropeFrequencies(d, rope, tokens.length);
    // The loop takes the speeds of short texts; those of this length are what the rule of longer ones would be at any.
    const asLoop: RopeOptions =
      rope.ropeType === "dynamic"
        ? { ropeType: "default", ropeTheta: 100 * 3.5 ** (d / (d - 2)) }
        : rope.ropeType === "longrope"
          ? { ...rope, shortFactor: rope.longFactor }
          : rope;
    expect(ropeFrequencies(d, asLoop)).toEqual({ inverseFrequencies, attentionFactor });
    const expected = attend(tokens, w, { ...options, rope: asLoop }).flat();
    // The factor multiplies queries and keys, so scores by its square.
    const bound = attentionFactor ** 2 * boundOf(tokens, w, options);
    const got = await forward(blockOf(options), tokens, { positions: positionsOf(tokens) });
    expectWithin(got, expected, expected.map(() => bound)); // prettier-ignore
  });

  test.each([false, true])("turns by time, height and width: interleaved %s", async (mropeInterleaved) => {
    const options = optionsWith({ ...sections, mropeInterleaved });
    const expected = attend(image, w, options).flat();
    const got = await forward(blockOf(options), image, { positions: positionsOf(image) });
    const bounds = expected.map(() => boundOf(image, w, options));
    expectWithin(got, expected, bounds);
    const flat = attend(image.map(({ x, position }) => ({ x, position })), w, options).flat(); // prettier-ignore
    expect(() => expectWithin(got, flat, bounds)).toThrow();
  });

  test.each(Object.entries({ ...rules, "three places": { ...sections, mropeInterleaved: true } }))(
    "reads a text in pieces behind a cache of its length as it does at once: %s",
    async (name, rope) => {
      await expectNoLeak(backend, async () => {
        const tokens = name === "three places" ? image : text(8);
        await scopedPieces(optionsWith(rope), tokens);
      });
    },
  );

  async function scopedPieces(options: Options, tokens: readonly Token[]): Promise<void> {
    const block = blockOf(options);
    using cache = new DenseCache(backend, { numHiddenLayers: 1, numKeyValueHeads: Hkv, headDim: d, maxLength: tokens.length }); // prettier-ignore
    const read = async (from: number, to: number): Promise<number[]> => {
      const part = tokens.slice(from, to);
      const y = scope(() => {
        const x = tensor(backend, part.flatMap(({ x }) => x), [1, part.length, D]); // prettier-ignore
        return block.forward(x, { step: cache.begin(positionsOf(part)), cache });
      });
      const values = await numbers(y);
      y.dispose();
      return values;
    };
    const pieces = [...(await read(0, 5)), ...(await read(5, 6)), ...(await read(6, 7)), ...(await read(7, 8))];
    const whole = scope(() => {
      const x = tensor(backend, tokens.flatMap(({ x }) => x), [1, tokens.length, D]); // prettier-ignore
      return block.forward(x, { positions: positionsOf(tokens) });
    });
    const expected = await numbers(whole);
    whole.dispose();
    expectWithin(pieces, expected, expected.map(() => boundOf(tokens, w, options))); // prettier-ignore
    for (const { weight } of [block.qkvProj, block.oProj, block.qNorm!, block.kNorm!]) weight.dispose();
    block.rope.dispose();
  }

  test("needs sections for tokens that stand at three places, but not for text moved along", async () => {
    const plain = blockOf(optionsWith({ ropeType: "default", ropeTheta: 100 }));
    await expect(forward(plain, image, { positions: positionsOf(image) })).rejects.toThrow(ConfigError);
    const moved = text(3).map((token) => ({ ...token, places: [7, 7, 7].map((p) => p + token.position) }) as unknown as Token); // prettier-ignore
    const far = text(3).map((token) => ({ ...token, position: token.position + 7 }));
    const [one, other] = [moved, far].map((tokens) => forward(plain, tokens, { positions: positionsOf(tokens) }));
    expect(await one).toEqual(await other);
  });
});

describe("Rope", () => {
  const { "dynamic beyond its context": dynamic, "longrope beyond its context": longrope } = rules;
  test.each([dynamic, longrope])("takes the speeds of the declared length: $ropeType", async (options) => {
    await expectNoLeak(backend, async () => {
      using rope = new Rope(backend, d, options);
      const firstRows = async (length: number, maxLength?: number): Promise<number[]> =>
        (await numbers(rope.table(length, maxLength))).slice(0, 3 * d);
      const of = (length: number): number[] => [...ropeTable(ropeFrequencies(d, options, length), 0, 3)];
      expect(of(10)).not.toEqual(of(4));
      expect(await firstRows(3, 4)).toEqual(of(4));
      expect(await firstRows(3, 10)).toEqual(of(10));
      expect(await firstRows(10)).toEqual(of(10));
      expect(await firstRows(3)).toEqual(of(0));
      const short = rope.table(3, 4);
      expect(rope.table(2, 1)).toBe(short);
    });
  });

  test("makes a table for a step's own places once, and shares the other where they are equal", async () => {
    await expectNoLeak(backend, () =>
      scope(() => {
        using rope = new Rope(backend, d, sections);
        const step = stepWithoutCache(backend, positionsOf(image));
        const own = rope.tableFor(step);
        expect(own.shape).toEqual([image.length, d]);
        expect(rope.tableFor(step)).toBe(own);
        const after = stepWithoutCache(backend, sequencePositions(1, 1, { start: [8], ropeDelta: [-2] }));
        expect(rope.tableFor(after)).toBe(rope.table(1));
        expect(rope.tableFor(stepWithoutCache(backend, positionsOf(image)))).not.toBe(own);
        expect(own.disposed).toBe(true);
      }),
    );
  });
});

describe("places", () => {
  test("rows: of the shared table where a token's three are equal, else one per token; -1 for padding", async () => {
    const step = stepWithoutCache(backend, positionsOf(image));
    expect(await numbers(step.rows)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const padded = { shape: [1, 2], position: Int32Array.of(-1, 0), segment: new Int32Array(2) } as const;
    const at = (...places: number[]): Positions => ({ ...padded, places: Int32Array.from(places) });
    expect(await numbers(stepWithoutCache(backend, at(-1, 5, -1, 5, -1, 5)).rows)).toEqual([-1, 5]);
    expect(await numbers(stepWithoutCache(backend, at(-1, 5, -1, 6, -1, 5)).rows)).toEqual([-1, 1]);
    expect(stepWithoutCache(backend, at(-1, 5, -1, 6, -1, 5))).toMatchObject({ length: 7, maxLength: 7 });
    expect(() => stepWithoutCache(backend, at(-1, 5))).toThrow(ShapeError);
    expect(() => stepWithoutCache(backend, at(-1, 5, -1, 5, -1, -1))).toThrow(IndexError);
  });

  test("a step keeps them, whatever the caller's array becomes", () => {
    const positions = positionsOf(image);
    const step = stepWithoutCache(backend, positions);
    positions.places!.fill(0);
    expect(step.places).toEqual(positionsOf(image).places);
  });

  test("ropeDelta moves them and leaves positions alone", () => {
    const moved = sequencePositions(2, 2, { start: [4, 0], mask: [[1, 1], [0, 1]], ropeDelta: [-2, 3] }); // prettier-ignore
    expect([...moved.position]).toEqual([4, 5, -1, 0]);
    expect([...moved.places!]).toEqual([2, 3, -1, 3, 2, 3, -1, 3, 2, 3, -1, 3]);
    expect(() => sequencePositions(2, 2, { ropeDelta: [1] })).toThrow(ShapeError);
  });

  test("a step that a recording holds is not written over with places that differ", () => {
    using cache = new DenseCache(backend, { numHiddenLayers: 1, numKeyValueHeads: Hkv, headDim: d, maxLength: 8 });
    const one = (position: number, ...places: number[]): Positions => ({ ...sequencePositions(1, 1, { start: [position] }), places: Int32Array.from(places) }); // prettier-ignore
    const first = cache.begin(one(0, 3, 3, 3));
    expect(cache.begin(one(1, 4, 4, 4), first)).toBe(first);
    const spread = cache.begin(one(2, 4, 5, 4), first);
    expect(spread).not.toBe(first);
    expect(cache.begin(one(3, 6, 6, 6), spread)).not.toBe(spread);
  });
});
