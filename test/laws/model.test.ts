// Laws of whole decoders of drawn configurations: chunking, batching, padding, packing, the future, and the means of computing change nothing.
import { disposeAll, Qwen3, reshape, sequencePositions, slice, type Backend, type Positions, type Qwen3Config, type Tensor } from "qwen-blocks"; // prettier-ignore
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";
import { expectComposed, expectSame, Tally, type Way } from "./expect-same.js";

const token = fc.nat(10);
const text = fc.array(token, { minLength: 1, maxLength: 6 });

/** What `use` makes of a model, which is gone afterwards. */
const of =
  (config: Qwen3Config, seed: number, use: (model: Qwen3) => readonly Tensor[]): Way =>
  (where) => {
    const model = new Qwen3(livelyWeights(where, seed), config);
    const outputs = use(model);
    disposeAll(model);
    return outputs;
  };

/** Logits [B, T, V] of tokens [from, to) of one row. */
function tokensOf(logits: Tensor, row: number, from: number, to: number): Tensor {
  const V = logits.shape[2];
  return reshape(slice(logits, [row, from, 0], [1, to - from, V]), [to - from, V]);
}

/** Cuts a text after drawn numbers of tokens. */
function* chunksOf(ids: readonly number[], draws: Iterable<number>): Generator<readonly number[]> {
  let at = 0;
  for (const draw of draws) {
    if (at >= ids.length) return;
    yield ids.slice(at, (at += 1 + (draw % 3)));
  }
}

function throughCache(model: Qwen3, chunks: Iterable<readonly number[]>): Tensor[] {
  using cache = model.makeCache({ capacity: 1 });
  return [...chunks].map((chunk) => model.forward([chunk], { cache }));
}

const pad = (row: readonly number[], length: number, filler: number, side: "left" | "right"): number[] => {
  const padding = Array<number>(length - row.length).fill(filler);
  return side === "left" ? [...padding, ...row] : [...row, ...padding];
};

/** Texts one after the other in a single row, a segment each. */
function packed(texts: readonly (readonly number[])[]): Positions {
  const position = Int32Array.from(texts.flatMap((ids) => [...ids.keys()]));
  const segment = Int32Array.from(texts.flatMap((ids, i) => ids.map(() => i)));
  return { shape: [1, position.length], position, segment };
}

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  /** Over drawn models; bounds may be infinite where an expert is chosen within its bound, or after many wide layers. */
  async function overModels(numRuns: number, law: (tally: Tally, ...drawn: Drawn) => Promise<void>): Promise<void> {
    const tally = new Tally();
    const drawn = [configs, fc.nat(), text, text, fc.infiniteStream(fc.nat(9))] as const;
    await fc.assert(
      fc.asyncProperty(...drawn, (...values) => law(tally, ...values)),
      { numRuns: runs(numRuns) },
    );
    tally.expectMost();
    expect(backend.memory.usage().buffers).toBe(0);
  }
  type Drawn = readonly [Qwen3Config, number, number[], number[], fc.Stream<number>];

  test("one pass = token by token = any chunking", () =>
    overModels(10, (tally, config, seed, one, _, draws) => {
      const chunks = [...chunksOf(one, draws)];
      const ways = {
        whole: of(config, seed, (model) => [model.forward([one])]),
        singly: of(config, seed, (model) => throughCache(model, one.map((id) => [id]))), // prettier-ignore
        chunked: of(config, seed, (model) => throughCache(model, chunks)),
      };
      return expectSame(backend, ways, tally, { drawn: [config, seed, one, chunks] });
    }));

  test("composites alone lie within the same bounds", () =>
    overModels(10, (tally, config, seed, one) =>
      expectComposed(
        backend,
        of(config, seed, (model) => [model.forward([one])]),
        tally,
      ),
    ));

  test("a future changes nothing", () =>
    overModels(10, (tally, config, seed, one, other) => {
      const T = one.length;
      const followed = (ids: readonly number[]): Way =>
        of(config, seed, (model) => [tokensOf(model.forward([[...one, ...ids]]), 0, 0, T)]);
      const another = other.map((id) => (id + 1) % 11).reverse();
      return expectSame(
        backend,
        { alone: followed([]), followed: followed(other), otherwise: followed(another) },
        tally,
        { drawn: [config, seed, one, other] },
      );
    }));

  test("batched and padded rows are independent, on either side, whatever the padding holds", () =>
    overModels(10, (tally, config, seed, one, other) => {
      const T = Math.max(one.length, other.length) + 1;
      const batch = (side: "left" | "right", filler: number): Way =>
        of(config, seed, (model) => {
          const mask = [one, other].map((row) => pad(row.map(() => 1), T, 0, side)); // prettier-ignore
          const rows = [one, other].map((row) => pad(row, T, filler, side));
          const logits = model.forward(rows, { positions: sequencePositions(2, T, { mask }) });
          return [one, other].map(({ length }, row) => tokensOf(logits, row, ...(side === "left" ? [T - length, T] as const : [0, length] as const))); // prettier-ignore
        });
      const alone = of(config, seed, (model) => [model.forward([one]), model.forward([other])]);
      return expectSame(backend, { alone, left: batch("left", 7), right: batch("right", 0) }, tally, {
        drawn: [config, seed, one, other],
      });
    }));

  test("texts packed into one row are independent", () =>
    overModels(10, (tally, config, seed, one, other) => {
      const rows = of(config, seed, (model) => [
        model.forward([[...one, ...other]], { positions: packed([one, other]) }),
      ]);
      const alone = of(config, seed, (model) => [model.forward([one]), model.forward([other])]);
      return expectSame(backend, { alone, packed: rows }, tally, { drawn: [config, seed, one, other] });
    }));
});
