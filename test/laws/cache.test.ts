// A cache of any kind, with pools of any packing, under any sequence of appends, truncations and selections gives what the remaining tokens give
// alone. Where pools are packed, alone means: with keys and values that are packed and decoded at once.
import {
  Attention, attention, DenseCache, dequantize, disposeAll, gatherRows, PackedTensor, PagedCache, quantize, randomWeights, reshape, RingCache,
  scope, stepWithoutCache, tensor, type AttentionFunction, type Backend, type KVCache, type Positions, type Step, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { schemes } from "qwen-blocks/quant";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals } from "../tensor/numbers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

/** One step of a random life; numbers are taken modulo what is possible. */
type Action =
  | { kind: "append"; cells: number[]; drop: number }
  | { kind: "truncate" | "remove"; row: number; count: number; all: boolean }
  | { kind: "select"; rows: number[] };
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("append" as const), cells: fc.array(fc.nat(50), { minLength: 1, maxLength: 6 }), drop: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("truncate" as const, "remove" as const), row: fc.nat(7), count: fc.nat(9), all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("select" as const), rows: fc.array(fc.nat(7), { minLength: 1, maxLength: 3 }) }) },
); // prettier-ignore

const kinds = { dense: DenseCache, paged: PagedCache, ring: RingCache };
const scheme = fc.constantFrom(undefined, undefined, "f16", "q8_0", "q4_0");
const kindOfCache = fc.record({
  kind: fc.constantFrom("dense" as const, "paged" as const, "ring" as const),
  window: fc.nat(5),
  sinks: fc.nat(2),
  pageSize: fc.integer({ min: 1, max: 4 }),
  capacity: fc.integer({ min: 1, max: 4 }),
  keyScheme: scheme,
  valueScheme: scheme,
  /** Each five tokens see themselves alone. */
  chunked: fc.boolean(),
});
type Kind = typeof kindOfCache extends fc.Arbitrary<infer K> ? K : never;
/** A ring has a window. */
const windowOf = ({ kind, window }: Kind): number => (kind === "ring" ? window + 1 : window);

const D = 6;
/** A token is a number, every seventh global; padding is undefined. */
type Cell = number | undefined;
const embed = (cell: Cell): number[] => normals(cell ?? 1000, D);

/** With keys and values as pools of that kind give them back. */
const seeing =
  ({ sinks, keyScheme, valueScheme }: Kind): AttentionFunction =>
  (q, k, v, queries, keys, attrs) => {
    const stored = (x: Tensor | PackedTensor, by: string | undefined) =>
      x instanceof PackedTensor || by === undefined ? x : dequantize(quantize(x, schemes[by]));
    return attention(q, stored(k, keyScheme), stored(v, valueScheme), queries, keys, { ...attrs, sinks });
  };

const blockOn = (where: Backend, kind: Kind): Attention =>
  new Attention(randomWeights(where, 1, { initializerRange: 0.5 }), { hiddenSize: D, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps: 1e-6, rope: { ropeType: "default", ropeTheta: 10 }, slidingWindow: windowOf(kind), attention: seeing(kind) }); // prettier-ignore

function positionsOf(cells: readonly (readonly Cell[])[], starts: readonly number[], { chunked }: Kind): Positions {
  const position: number[] = [];
  const segment: number[] = [];
  cells.forEach((row, b) => {
    let next = starts[b];
    for (const cell of row) {
      const at = cell === undefined ? -1 : next++;
      position.push(at);
      const own = chunked ? Math.floor(Math.max(0, at) / 5) : 0;
      segment.push(cell !== undefined && cell % 7 === 0 ? ~own : own);
    }
  });
  return { shape: [cells.length, cells[0].length], position: Int32Array.from(position), segment: Int32Array.from(segment) }; // prettier-ignore
}

/** Runs rows of cells through the block; the outputs at `wanted` of the B T places, [wanted, D]. */
function feed(
  block: Attention,
  where: Backend,
  cells: readonly (readonly Cell[])[],
  wanted: readonly number[],
  stepOf: (positions: Positions) => { step: Step; cache?: KVCache },
  positions: Positions,
): Tensor {
  const [B, T] = positions.shape;
  return scope(() => {
    const x = tensor(where, cells.flat().flatMap(embed), [B, T, D]);
    const y = block.forward(x, stepOf(positions));
    return gatherRows(reshape(y, [B * T, D]), tensor(where, Int32Array.from(wanted)));
  });
}

/** Every step with the texts that the rows hold after it. */
interface Life {
  readonly change: (cache: KVCache) => void;
  readonly chunk?: readonly (readonly Cell[])[];
  readonly texts: readonly (readonly number[])[];
}

function planned(actions: readonly Action[], { kind }: Kind): Life[] {
  let texts: number[][] = [[], []];
  /** What a ring certainly can go back to, besides 0. */
  let least = [0, 0];
  return actions.map((step): Life => {
    if (step.kind === "select") {
      const rows = step.rows.map((row) => row % texts.length);
      texts = rows.map((row) => [...texts[row]]);
      least = rows.map((row) => least[row]);
      return { change: (cache) => cache.select(rows), texts };
    }
    if (step.kind === "append") {
      // Each row gets tokens of its own; one is padded instead, so that rows come to differ.
      const chunk = texts.map((_, b) =>
        step.cells.map((cell, t): Cell => ((t + b) % 4 === step.drop % 4 ? undefined : cell + 51 * b)),
      );
      if (kind === "ring")
        least = least.map((from, b) => (chunk[b].some((cell) => cell !== undefined) ? texts[b].length : from));
      texts = texts.map((row, b) => [...row, ...chunk[b].filter((cell) => cell !== undefined)]);
      return { change: () => undefined, chunk, texts };
    }
    const row = step.row % texts.length;
    const at = step.all ? undefined : row;
    const [length, from] = step.all
      ? [Math.min(...texts.map((text) => text.length)), Math.max(...least)]
      : [texts[row].length, least[row]];
    const left = from > length || (from > 0 && step.count === 9) ? 0 : from + (step.count % (length - from + 1));
    if (step.kind === "truncate" || step.all || left === 0) {
      texts = texts.map((of, b) => (step.all || b === row ? of.slice(0, left) : of));
      least = least.map((of, b) => (left === 0 && (step.all || b === row) ? 0 : of));
      return { change: (cache) => cache.truncateTo(left, at), texts };
    }
    texts = texts.map((of, b) => (b === row ? of.slice(0, left) : of));
    return { change: (cache) => cache.removeLast(length - left, at), texts };
  });
}

/** The outputs of all tokens in the order in which they were appended, row by row within a chunk. */
const lived =
  (life: readonly Life[], kind: Kind): Way =>
  (where) => {
    const block = blockOn(where, kind);
    const { sinks, pageSize, capacity, keyScheme, valueScheme } = kind;
    const packing = { ...(keyScheme && { keyScheme }), ...(valueScheme && { valueScheme }) };
    const options = { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4, batch: 2, maxLength: 200, capacity, window: windowOf(kind), sinks, pageSize, ...packing }; // prettier-ignore
    using cache = new kinds[kind.kind](where, options);
    const outputs = life.flatMap(({ change, chunk, texts }) => {
      change(cache);
      const places = (chunk ?? []).flat().flatMap((cell, at) => (cell === undefined ? [] : [at]));
      const begin = (positions: Positions) => ({ step: cache.begin(positions), cache });
      const y = chunk ? [feed(block, where, chunk, places, begin, positionsOf(chunk, cache.lengths, kind))] : [];
      expect(cache.lengths).toEqual(texts.map(({ length }) => length));
      return y;
    });
    disposeAll(block);
    return outputs;
  };

const recomputed =
  (life: readonly Life[], kind: Kind): Way =>
  (where) => {
    const block = blockOn(where, kind);
    // In a ring a global token looks back as far as any other one.
    const begin = (positions: Positions) => {
      const step = stepWithoutCache(where, positions);
      if (kind.kind !== "ring") return { step };
      const plain = { ...positions, segment: positions.segment.map((mark) => (mark < 0 ? ~mark : mark)) };
      return { step: { ...step, queries: stepWithoutCache(where, plain).queries } };
    };
    const outputs = life.flatMap(({ chunk = [], texts }) =>
      chunk.flatMap((row, b) => {
        const fresh = row.filter((cell) => cell !== undefined).length;
        const last = Array.from({ length: fresh }, (_, i) => texts[b].length - fresh + i);
        if (fresh === 0) return [];
        return [feed(block, where, [texts[b]], last, begin, positionsOf([texts[b]], [0], kind))];
      }),
    );
    disposeAll(block);
    return outputs;
  };

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("truncateTo, removeLast and select in any order equal recomputing what is left; the memory comes back", async () => {
    const tally = new Tally();
    const lives = fc.array(action, { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(lives, kindOfCache, async (actions, kind) => {
        const life = planned(actions, kind);
        const ways = { recomputed: recomputed(life, kind), lived: lived(life, kind) };
        await expectSame(backend, ways, tally, { drawn: [actions, kind] });
      }),
      { numRuns: runs(40) },
    );
    tally.expectMost();
  });
});
