// Attention against a loop in f64, and the ways to get it wrong, each of which must show.
import {
  Attention, attention, ConfigError, DenseCache, Rope, ShapeError, sequencePositions, stepWithoutCache, tensor, weightsFrom, type AttentionOptions, type Backend,
  type Positions, type RopeOptions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, normals, numbers } from "../tensor/numbers.js";
import { attend, boundOf, type AttentionWeights, type Token, type Variant } from "./by-hand.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

type Options = Omit<AttentionOptions, "rope"> & { readonly rope: RopeOptions };
const base: Options = {
  hiddenSize: 6,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 4,
  qkNorm: true,
  rmsNormEps: 1e-6,
  rope: { ropeType: "default", ropeTheta: 10 },
};
function weightsOf(
  { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: Hkv, headDim: d, outputGate = false }: Options,
  seed: number,
): AttentionWeights {
  // prettier-ignore
  return {
    qkv: normals(seed, ((outputGate ? 2 : 1) * H + 2 * Hkv) * d * D, 0.6),
    o: normals(seed + 1, D * H * d, 0.6),
    qNorm: normals(seed + 2, d).map((x) => 1 + x / 2),
    kNorm: normals(seed + 3, d).map((x) => 1 + x / 2),
  };
}
function blockOf(options: AttentionOptions, w: AttentionWeights): Attention {
  const given: Record<string, readonly number[]> = { "qkvProj.weight": w.qkv, "oProj.weight": w.o, "qNorm.weight": w.qNorm, "kNorm.weight": w.kNorm }; // prettier-ignore
  return new Attention(weightsFrom(backend, (path, shape) => tensor(backend, given[path], shape)), options); // prettier-ignore
}
/** Rows of one length, with positions and segments of their own. */
async function run(
  options: AttentionOptions,
  w: AttentionWeights,
  batch: readonly (readonly Token[])[],
): Promise<number[][][]> {
  // prettier-ignore
  const [B, T, D] = [batch.length, batch[0].length, options.hiddenSize];
  const all = batch.flat();
  const positions: Positions = {
    shape: [B, T],
    position: Int32Array.from(all, ({ position }) => position),
    segment: Int32Array.from(all, ({ segment = 0 }) => segment),
  };
  const x = tensor(backend, all.flatMap(({ x }) => x), [B, T, D]); // prettier-ignore
  const y = await numbers(blockOf(options, w).forward(x, { positions }));
  return batch.map((_, b) => batch[0].map((_, t) => y.slice((b * T + t) * D, (b * T + t + 1) * D)));
}
const text = (seed: number, count: number, D = base.hiddenSize, from = 0): Token[] =>
  Array.from({ length: count }, (_, t) => ({ x: normals(seed + 31 * t, D), position: from + t }));
const padding = (D = base.hiddenSize): Token => ({ x: normals(5, D, 30), position: -1 });

describe("Attention", () => {
  const drawn = fc.record({
    G: fc.integer({ min: 1, max: 3 }),
    Hkv: fc.integer({ min: 1, max: 2 }),
    d: fc.constantFrom(2, 4, 6),
    T: fc.integer({ min: 1, max: 6 }),
    window: fc.integer({ min: 0, max: 4 }),
    qkNorm: fc.boolean(),
    partial: fc.boolean(),
    causal: fc.boolean(),
    sinks: fc.constantFrom(0, 0, 1, 2),
    softcap: fc.constantFrom(0, 0, 1.5),
    outputGate: fc.boolean(),
    /** Per token: padding (0), or a segment, global (negative) or not. */
    marks: fc.array(fc.constantFrom(1, 1, 1, 2, -1, -2, 0), { minLength: 6, maxLength: 6 }),
    seed: fc.nat(1e6),
  });
  test("is the formula: grouped heads, norms, partial RoPE, windows, sinks, segments, global tokens, padding, soft-cap, gate", async () => {
    await fc.assert(
      fc.asyncProperty(drawn, async ({ G, Hkv, d, T, window, partial, marks, seed, ...drawn }) => {
        const rope: RopeOptions = {
          ropeType: "default",
          ropeTheta: 10,
          partialRotaryFactor: partial && d > 2 ? 2 / d : 1,
        };
        const options = {
          ...base,
          numAttentionHeads: G * Hkv,
          numKeyValueHeads: Hkv,
          headDim: d,
          slidingWindow: window,
          rope,
          ...drawn,
        };
        const w = weightsOf(options, seed);
        const tokens = text(seed + 7, T).map(({ x, position }, t) => {
          if (marks[t] === 0) return { x, position: -1 };
          return { x, position, segment: marks[t] < 0 ? ~-marks[t] : marks[t] };
        });
        const [y] = await run(options, w, [tokens]);
        const bound = boundOf(tokens, w, options);
        const expected = attend(tokens, w, options).flat();
        expectWithin(y.flat(), expected, expected.map(() => bound)); // prettier-ignore
      }),
      { numRuns: 60 },
    );
  });

  // Each of these is a bug that other projects shipped; all differ from the formula by far more than rounding.
  const wrong: Record<string, Variant> = {
    "RoPE before the norm": { ropeFirst: true },
    "kv heads tiled, not repeated": { tiled: true },
    "seeing the next token": { shift: 1 },
    "not seeing oneself": { shift: -1 },
  };
  test.each(Object.entries(wrong))("is not %s", async (_, variant) => {
    const [w, tokens] = [weightsOf(base, 1), text(2, 5)];
    const [y] = await run(base, w, [tokens]);
    const [right, other] = [attend(tokens, w, base), attend(tokens, w, base, variant)].map((rows) =>
      rows.slice(1).flat(),
    );
    const distance = (rows: number[]): number =>
      Math.max(
        ...y
          .slice(1)
          .flat()
          .map((v, i) => Math.abs(v - rows[i])),
      );
    const bound = boundOf(tokens, w, base);
    expect(distance(right)).toBeLessThanOrEqual(bound);
    expect(distance(other)).toBeGreaterThan(100 * bound);
  });

  test("a window of W sees W keys, the token's own among them", async () => {
    const w = weightsOf(base, 1);
    for (const W of [1, 2, 3]) {
      const tokens = text(3, 6);
      const options = { ...base, slidingWindow: W };
      const [whole] = await run(options, w, [tokens]);
      // Alone with its W - 1 forerunners the last token gives the same number, and with one fewer another.
      const [enough] = await run(options, w, [tokens.slice(6 - W)]);
      expect(enough.at(-1)).toEqual(whole.at(-1));
      const changed = tokens.map((token, t) => (t === 6 - W ? { ...token, x: normals(77, 6) } : token));
      expect((await run(options, w, [changed]))[0].at(-1)).not.toEqual(whole.at(-1));
      const outside = tokens.map((token, t) => (t === 5 - W ? { ...token, x: normals(77, 6) } : token));
      expect((await run(options, w, [outside]))[0].at(-1)).toEqual(whole.at(-1));
    }
  });

  test("future tokens change no bit of the past", async () => {
    const [w, tokens] = [weightsOf(base, 1), text(4, 6)];
    const [whole] = await run(base, w, [tokens]);
    for (let t = 1; t < 6; t++) {
      expect((await run(base, w, [tokens.slice(0, t)]))[0]).toEqual(whole.slice(0, t));
      const other = [...tokens.slice(0, t), ...text(50, 6 - t, 6, t)];
      expect((await run(base, w, [other]))[0].slice(0, t)).toEqual(whole.slice(0, t));
    }
  });

  test("left and right padding give the numbers of the text alone, and 0 in padded places", async () => {
    const [w, tokens] = [weightsOf(base, 1), text(6, 4)];
    const [alone] = await run(base, w, [tokens]);
    const zero = [0, 0, 0, 0, 0, 0];
    const pad = padding();
    const [left, right, middle] = await run(base, w, [
      [pad, pad, ...tokens],
      [...tokens, pad, pad],
      [tokens[0], pad, tokens[1], tokens[2], pad, tokens[3]],
    ]);
    expect(left).toEqual([zero, zero, ...alone]);
    expect(right).toEqual([...alone, zero, zero]);
    expect(middle).toEqual([alone[0], zero, alone[1], alone[2], zero, alone[3]]);
  });

  test("a row of nothing but padding is 0, not NaN", async () => {
    const [row] = await run(base, weightsOf(base, 1), [[padding(), padding()]]);
    expect(row.flat()).toEqual(Array(12).fill(0));
  });

  test("segments see themselves alone, in any order, each with its own positions", async () => {
    const w = weightsOf(base, 1);
    const [a, b] = [text(6, 3), text(8, 4)];
    const [aloneA, aloneB] = [(await run(base, w, [a]))[0], (await run(base, w, [b]))[0]];
    const mark = (tokens: Token[], segment: number): Token[] => tokens.map((token) => ({ ...token, segment }));
    expect((await run(base, w, [[...mark(a, 0), ...mark(b, 1)]]))[0]).toEqual([...aloneA, ...aloneB]);
    const [a2, b2] = [mark(a, 3), mark(b, 2)];
    const mixed = [b2[0], a2[0], a2[1], b2[1], b2[2], a2[2], b2[3]];
    expect((await run(base, w, [mixed]))[0]).toEqual([aloneB[0], aloneA[0], aloneA[1], aloneB[1], aloneB[2], aloneA[2], aloneB[3]]); // prettier-ignore
  });

  test("batch rows do not see each other", async () => {
    const w = weightsOf(base, 1);
    const [a, b] = [text(6, 3), text(8, 3)];
    expect(await run(base, w, [a, b])).toEqual([(await run(base, w, [a]))[0], (await run(base, w, [b]))[0]]);
  });

  test("only distances count: shifted positions give the same numbers within the bound", async () => {
    const w = weightsOf(base, 1);
    const [near, far] = [text(6, 4), text(6, 4, 6, 3000)];
    const [one, other] = [(await run(base, w, [near]))[0], (await run(base, w, [far]))[0]];
    // Angles up to 3004 radians are rounded to f32: off by 2^-13 at most, which moves a score by as much of |q||k|.
    const bound = boundOf(near, w, base) + 2 ** -12 * (boundOf(near, w, base) / (24 * 2 ** -24));
    expectWithin(other.flat(), one.flat(), one.flat().map(() => bound)); // prettier-ignore
    expect(other).not.toEqual(one);
  });

  test("an attention function of one's own takes its place and sees scale and window", async () => {
    const w = weightsOf(base, 1);
    const seen: object[] = [];
    const own: AttentionOptions["attention"] = (q, k, v, queries, keys, attrs) => {
      seen.push(attrs, k.shape);
      return attention(q, k, v, queries, keys, attrs);
    };
    const [y] = await run({ ...base, attention: own, slidingWindow: 2 }, w, [text(6, 3)]);
    expect(seen).toEqual([{ scale: 0.5, causal: true, window: 2, sinks: 0, softcap: 0 }, [3, 2, 4]]);
    expect(y).toEqual((await run({ ...base, slidingWindow: 2 }, w, [text(6, 3)]))[0]);
  });

  test("layers may share a Rope", async () => {
    const w = weightsOf(base, 1);
    using rope = new Rope(backend, 4, base.rope);
    expect(await run({ ...base, rope }, w, [text(6, 3)])).toEqual(await run(base, w, [text(6, 3)]));
  });

  const bad: Record<string, Partial<Record<keyof Options, unknown>>> = {
    "odd headDim": { headDim: 5 },
    "headDim left out": { headDim: undefined },
    "heads that do not divide": { numAttentionHeads: 3 },
    "more kv heads than heads": { numAttentionHeads: 2, numKeyValueHeads: 4 },
    "no kv heads": { numKeyValueHeads: 0 },
    "half a head": { numAttentionHeads: 1.5 },
    "hiddenSize 0": { hiddenSize: 0 },
    "qkNorm left out": { qkNorm: undefined },
    "an unknown RoPE type": { rope: { ropeType: "spiral", ropeTheta: 10 } },
    "an odd turned part": { rope: { ropeType: "default", ropeTheta: 10, partialRotaryFactor: 0.75 } },
    "a negative window": { slidingWindow: -1 },
    "half a window": { slidingWindow: 1.5 },
    "sinks below 0": { sinks: -1 },
    "half a sink": { sinks: 0.5 },
    "a negative soft-cap": { softcap: -1 },
    "a soft-cap without end": { softcap: Infinity },
  };
  test.each(Object.entries(bad))("refuses %s", (_, change) => {
    expect(() => blockOf({ ...base, ...change } as Options, weightsOf(base, 1))).toThrow(ConfigError);
  });

  describe("bidirectional", () => {
    const options = { ...base, causal: false };
    const x = (): Tensor => tensor(backend, normals(1, 18), [1, 3, 6]);
    const positions = sequencePositions(1, 3);

    test("a step made for it serves it, and causal layers too", async () => {
      const [open, closed] = [blockOf(options, weightsOf(base, 1)), blockOf(base, weightsOf(base, 1))];
      const step = stepWithoutCache(backend, positions, false);
      for (const block of [open, closed])
        expect(await numbers(block.forward(x(), { step }))).toEqual(await numbers(block.forward(x(), { positions })));
      expect(await numbers(open.forward(x(), { step }))).not.toEqual(await numbers(closed.forward(x(), { step })));
    });

    test("causal steps are refused, those of a cache among them", () => {
      const block = blockOf(options, weightsOf(base, 1));
      const cache = new DenseCache(backend, { numHiddenLayers: 1, numKeyValueHeads: 2, headDim: 4, maxLength: 8 });
      expect(() => block.forward(x(), { step: stepWithoutCache(backend, positions) })).toThrow(ConfigError);
      expect(() => block.forward(x(), { step: cache.begin(positions), cache })).toThrow("use no cache");
    });
  });

  test("positions for other tokens are refused", () => {
    const block = blockOf(base, weightsOf(base, 1));
    const x = tensor(backend, normals(1, 12), [1, 2, 6]);
    for (const [B, T] of [
      [1, 3],
      [2, 1],
      [2, 2],
    ]) {
      // prettier-ignore
      expect(() => block.forward(x, { positions: sequencePositions(B, T) })).toThrow(ShapeError);
    }
  });
});
