// Decoders of drawn configurations behind caches of drawn kinds, their pools stored by drawn schemes: a text read at once, in pieces, token by token
// or by recorded steps gives the same logits. A token's keys and values are rounded once, when they arrive, so that how many come with it
// changes nothing.
import {
  concat, DecodeStep, disposeAll, Qwen3, reshape, type Backend, type CacheKind, type KVCache, type Qwen3Config, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

const MAX_LENGTH = 8;

interface Drawn {
  readonly config: Qwen3Config;
  readonly ids: readonly number[];
  readonly kind: CacheKind;
  /** How keys and values are stored: by the scheme of that name, or as they are. */
  readonly keyScheme?: string;
  readonly valueScheme?: string;
  readonly seed: number;
}

const through =
  ({ config, kind, keyScheme, valueScheme, seed }: Drawn, read: (model: Qwen3, cache: KVCache) => Tensor[]): Way =>
  (where) => {
    const model = new Qwen3(livelyWeights(where, seed), config);
    const packing = { ...(keyScheme && { keyScheme }), ...(valueScheme && { valueScheme }) };
    using cache = model.makeCache({ kind, maxLength: MAX_LENGTH, capacity: 1, pageSize: 3, ...packing });
    const logits = read(model, cache);
    disposeAll(model);
    return [concat(logits, 0)];
  };

const inPieces = (drawn: Drawn, ...pieces: number[]): Way =>
  through(drawn, (model, cache) => {
    const { ids, config } = drawn;
    const logits: Tensor[] = [];
    for (let from = 0, i = 0; from < ids.length; from += pieces[i++ % pieces.length]) {
      const piece = ids.slice(from, from + pieces[i % pieces.length]);
      logits.push(reshape(model.forward([piece], { cache }), [piece.length, config.vocabSize]));
    }
    return logits;
  });

const recorded = (drawn: Drawn): Way =>
  through(drawn, (model, cache) => {
    using step = new DecodeStep(model, cache, (logits) => reshape(logits, [1, drawn.config.vocabSize]));
    return drawn.ids.map((id) => concat([step.run([id])], 0)); // the next run overwrites it
  });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("at once = in pieces = token by token = recorded", async () => {
    const tally = new Tally();
    // Those that every backend lists.
    const scheme = fc.option(fc.constantFrom("f16", "bf16", "q8_0", "q4_0"), { nil: undefined });
    const draw = fc
      .record(
        {
          config: configs,
          ids: fc.array(fc.nat(10), { minLength: 2, maxLength: MAX_LENGTH }),
          kind: fc.constantFrom("dense" as const, "paged" as const, "ring" as const),
          keyScheme: scheme,
          valueScheme: scheme,
          seed: fc.nat(),
        },
        { requiredKeys: ["config", "ids", "kind", "seed"] },
      )
      // A ring is for windows.
      .map((drawn) => ({ ...drawn, kind: drawn.config.slidingWindow ? drawn.kind : drawn.kind === "ring" ? "dense" : drawn.kind })); // prettier-ignore
    const pieces = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 2, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(draw, pieces, async (drawn, cuts) => {
        const ways = {
          "at once": inPieces(drawn, drawn.ids.length),
          pieces: inPieces(drawn, ...cuts),
          tokens: inPieces(drawn, 1),
          recorded: recorded(drawn),
        };
        await expectSame(backend, ways, tally, { drawn: [drawn, cuts] });
      }),
      { numRuns: runs(12) },
    );
    tally.expectMost();
  });
});
