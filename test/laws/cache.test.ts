// A cache under any sequence of appends, truncations and selections gives what the remaining tokens give alone.
import {
  Attention, DenseCache, disposeAll, gatherRows, randomWeights, reshape, scope, tensor, type Backend, type Positions, type Tensor,
} from "qwen-blocks"; // prettier-ignore
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
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("append" as const), cells: fc.array(fc.nat(50), { minLength: 1, maxLength: 4 }), drop: fc.nat(7) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("truncate" as const, "remove" as const), row: fc.nat(7), count: fc.nat(9), all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("select" as const), rows: fc.array(fc.nat(7), { minLength: 1, maxLength: 3 }) }) },
); // prettier-ignore

const D = 6;
/** A token is a number; padding is undefined. */
type Cell = number | undefined;
const embed = (cell: Cell): number[] => normals(cell ?? 1000, D);

const blockOn = (where: Backend): Attention =>
  new Attention(randomWeights(where, 1, { initializerRange: 0.5 }), { hiddenSize: D, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps: 1e-6, rope: { ropeType: "default", ropeTheta: 10 } }); // prettier-ignore

/** Runs rows of cells through the block; the outputs at `wanted` of the B T places, [wanted, D]. */
function feed(
  block: Attention,
  where: Backend,
  cells: readonly (readonly Cell[])[],
  wanted: readonly number[],
  cache?: DenseCache,
): Tensor {
  const [B, T] = [cells.length, cells[0].length];
  const position = cells.flatMap((row, b) => {
    let next = cache?.lengths[b] ?? 0;
    return row.map((cell) => (cell === undefined ? -1 : next++));
  });
  const positions: Positions = { shape: [B, T], position: Int32Array.from(position), segment: new Int32Array(B * T) };
  return scope(() => {
    const x = tensor(where, cells.flat().flatMap(embed), [B, T, D]);
    const y = block.forward(x, cache ? { step: cache.begin(positions), cache } : { positions });
    return gatherRows(reshape(y, [B * T, D]), tensor(where, Int32Array.from(wanted)));
  });
}

/** Every step with the texts that the rows hold after it. */
interface Step {
  readonly change: (cache: DenseCache) => void;
  readonly chunk?: readonly (readonly Cell[])[];
  readonly texts: readonly (readonly number[])[];
}

function planned(actions: readonly Action[]): Step[] {
  let texts: number[][] = [[], []];
  return actions.map((step): Step => {
    if (step.kind === "select") {
      const rows = step.rows.map((row) => row % texts.length);
      texts = rows.map((row) => [...texts[row]]);
      return { change: (cache) => cache.select(rows), texts };
    }
    if (step.kind === "append") {
      // Each row gets tokens of its own; one is padded instead, so that rows come to differ.
      const chunk = texts.map((_, b) =>
        step.cells.map((cell, t): Cell => ((t + b) % 4 === step.drop % 4 ? undefined : cell + 51 * b)),
      );
      texts = texts.map((row, b) => [...row, ...chunk[b].filter((cell) => cell !== undefined)]);
      return { change: () => undefined, chunk, texts };
    }
    const row = step.row % texts.length;
    const at = step.all ? undefined : row;
    const room = step.all ? Math.min(...texts.map(({ length }) => length)) : texts[row].length;
    const count = step.count % (room + 1);
    const keep = (of: number[]): number[] => of.slice(0, step.kind === "truncate" ? count : of.length - count);
    texts = texts.map((of, b) => (step.all || b === row ? keep(of) : of));
    return { change: (cache) => (step.kind === "truncate" ? cache.truncateTo(count, at) : cache.removeLast(count, at)), texts }; // prettier-ignore
  });
}

/** The outputs of all tokens in the order in which they were appended, row by row within a chunk. */
const lived =
  (steps: readonly Step[], capacity: number): Way =>
  (where) => {
    const block = blockOn(where);
    using cache = new DenseCache(where, { numHiddenLayers: 1, numKeyValueHeads: 1, headDim: 4, batch: 2, capacity, maxLength: 200 }); // prettier-ignore
    const outputs = steps.flatMap(({ change, chunk, texts }) => {
      change(cache);
      const places = (chunk ?? []).flat().flatMap((cell, at) => (cell === undefined ? [] : [at]));
      const y = chunk ? [feed(block, where, chunk, places, cache)] : [];
      expect(cache.lengths).toEqual(texts.map(({ length }) => length));
      return y;
    });
    disposeAll(block);
    return outputs;
  };

const recomputed =
  (steps: readonly Step[]): Way =>
  (where) => {
    const block = blockOn(where);
    const outputs = steps.flatMap(({ chunk = [], texts }) =>
      chunk.flatMap((row, b) => {
        const fresh = row.filter((cell) => cell !== undefined).length;
        const last = Array.from({ length: fresh }, (_, i) => texts[b].length - fresh + i);
        return fresh === 0 ? [] : [feed(block, where, [texts[b]], last)];
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
    const lives = fc.array(action, { minLength: 1, maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(lives, fc.integer({ min: 1, max: 4 }), async (actions, capacity) => {
        const steps = planned(actions);
        const ways = { recomputed: recomputed(steps), lived: lived(steps, capacity) };
        await expectSame(backend, ways, tally, { drawn: [actions, capacity] });
      }),
      { numRuns: runs(30) },
    );
    tally.expectMost();
  });
});
