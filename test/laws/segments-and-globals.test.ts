// What a text is made of and how it is read do not meddle: chunks of positions, texts packed into a row, global tokens, a window and sinks, behind
// each kind of cache. A prefill = pieces = token by token = a pass without a cache.
import {
  Attention, chunkPositions, concat, DenseCache, disposeAll, markGlobal, packedPositions, PagedCache, randomWeights, RingCache,
  slice, stepWithoutCache, tensor, type AttentionContext, type Backend, type Positions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals } from "../tensor/numbers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

const [B, D] = [2, 4];
const kinds = { dense: DenseCache, paged: PagedCache, ring: RingCache };
const drawn = fc.record({
  kind: fc.constantFrom("dense" as const, "paged" as const, "ring" as const),
  /** Tokens of each text, per row: texts of one row lie behind each other. */
  lengths: fc.array(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 2 }), { minLength: B, maxLength: B }), // prettier-ignore
  padding: fc.constantFrom("left" as const, "right" as const),
  /** Positions per chunk; none. */
  size: fc.option(fc.integer({ min: 2, max: 7 }), { nil: undefined }),
  globals: fc.array(fc.array(fc.nat(17), { maxLength: 4 }), { minLength: B, maxLength: B }),
  markedFirst: fc.boolean(),
  window: fc.nat(2),
  sinks: fc.nat(1),
  /** What the cache shows beyond that. */
  spare: fc.nat(2),
  cuts: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
  seed: fc.nat(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

function positionsOf({ lengths, padding, size, globals, markedFirst }: Drawn): Positions {
  const packed = packedPositions(lengths, { padding });
  const columns = globals.map((row) => row.map((column) => column % packed.shape[1]));
  const chunked = (positions: Positions): Positions => (size ? chunkPositions(positions, size) : positions);
  return markedFirst ? chunked(markGlobal(packed, columns)) : markGlobal(chunked(packed), columns);
}

const part = ({ shape: [rows, T], position, segment }: Positions, from: number, tokens: number): Positions => {
  const columns = (of: Int32Array): Int32Array =>
    Int32Array.from({ length: rows * tokens }, (_, i) => of[Math.floor(i / tokens) * T + from + (i % tokens)]);
  return { shape: [rows, tokens], position: columns(position), segment: columns(segment) };
};

/** The outputs of all tokens, padding left out: what its rows hold is not defined. */
const read =
  (
    one: Drawn,
    contexts: (where: Backend, positions: Positions) => (from: number, tokens: number) => AttentionContext,
    cuts?: readonly number[],
  ): Way =>
  (where) => {
    const positions = positionsOf(one);
    const [, T] = positions.shape;
    const block = new Attention(randomWeights(where, 1 + one.seed, { initializerRange: 0.5 }), {
      ...{ hiddenSize: D, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps: 1e-6 },
      ...{ rope: { ropeType: "default", ropeTheta: 10 }, slidingWindow: windowOf(one), sinks: one.sinks },
    });
    const contextOf = contexts(where, positions);
    const x = tensor(where, normals(one.seed, B * T * D), [B, T, D]);
    const pieces: Tensor[] = [];
    for (let t = 0, i = 0; t < T; i++) {
      const tokens = Math.min(cuts?.[i % cuts.length] ?? T, T - t);
      pieces.push(block.forward(slice(x, [0, t, 0], [B, tokens, D]), contextOf(t, tokens)));
      t += tokens;
    }
    disposeAll(block);
    const all = concat(pieces, 1);
    return [...positions.position].flatMap((place, i) =>
      place < 0 ? [] : [slice(all, [Math.floor(i / T), i % T, 0], [1, 1, D])],
    );
  };

/** A ring has a window. */
const windowOf = ({ kind, window }: Drawn): number => (kind === "ring" ? window + 1 : window);

const behindCache =
  (one: Drawn, cuts?: readonly number[]): Way =>
  (where) => {
    const window = windowOf(one);
    const options = {
      numHiddenLayers: 1,
      numKeyValueHeads: 1,
      headDim: 4,
      batch: B,
      maxLength: 64,
      capacity: 2,
      pageSize: 3,
    };
    const shown = { window: window > 0 ? window + one.spare : 0, sinks: one.sinks + one.spare };
    using cache = new kinds[one.kind](where, { ...options, ...shown });
    const contexts = (_: Backend, positions: Positions) => (from: number, tokens: number) => ({
      step: cache.begin(part(positions, from, tokens)),
      cache,
    });
    return read(one, contexts, cuts)(where);
  };

const withoutCache = (one: Drawn): Way =>
  read(one, (where, positions) => () => {
    const step = stepWithoutCache(where, positions);
    if (one.kind !== "ring") return { step };
    // In a ring a global token looks back as far as any other one.
    const plain = { ...positions, segment: positions.segment.map((mark) => (mark < 0 ? ~mark : mark)) };
    return { step: { ...step, queries: stepWithoutCache(where, plain).queries } };
  });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("without a cache = at once = in pieces = token by token", async () => {
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(drawn, async (one) => {
        const ways = {
          "without a cache": withoutCache(one),
          "at once": behindCache(one),
          "in pieces": behindCache(one, one.cuts),
          "token by token": behindCache(one, [1]),
        };
        await expectSame(backend, ways, tally, { drawn: [one] });
      }),
      { numRuns: runs(20) },
    );
    tally.expectMost();
  });
});
