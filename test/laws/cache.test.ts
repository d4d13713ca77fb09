// A cache under any sequence of appends, truncations and selections gives what the remaining tokens give alone.
import type { Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { CacheRig, type Cell } from "../attention/cache-rig.js";
import { expectNoLeak } from "../tensor/numbers.js";

let backend: Backend;
let rig: CacheRig;
beforeEach(async () => {
  backend = await cpu();
  rig = new CacheRig(backend);
});

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

describe("truncateTo, removeLast and select", () => {
  test("in any order equal recomputing what is left; the memory comes back", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        async (actions, capacity) => {
          await expectNoLeak(backend, async () => {
            using cache = rig.make({ batch: 2, capacity, maxLength: 200 });
            let model: number[][] = [[], []];
            for (const step of actions) {
              if (step.kind === "select") {
                const rows = step.rows.map((row) => row % model.length);
                cache.select(rows);
                model = rows.map((row) => [...model[row]]);
              } else if (step.kind === "append") {
                // Each row gets tokens of its own; one is padded instead, so that rows come to differ.
                const chunk = model.map((_, b) =>
                  step.cells.map((cell, t): Cell => ((t + b) % 4 === step.drop % 4 ? undefined : cell + 51 * b)),
                );
                const y = await rig.feed(chunk, cache);
                for (const [b, row] of chunk.entries()) {
                  const fresh = row.flatMap((cell, t) => (cell === undefined ? [] : [y[b][t]]));
                  model[b].push(...row.filter((cell) => cell !== undefined));
                  await rig.expectLast(fresh, model[b]);
                }
              } else {
                const least = Math.min(...model.map(({ length }) => length));
                const row = step.row % model.length;
                const room = step.all ? least : model[row].length;
                const count = step.count % (room + 1);
                const keep = (of: number[]): number[] =>
                  of.slice(0, step.kind === "truncate" ? count : of.length - count);
                const at = step.all ? undefined : row;
                if (step.kind === "truncate") cache.truncateTo(count, at);
                else cache.removeLast(count, at);
                model = model.map((of, b) => (step.all || b === row ? keep(of) : of));
              }
              expect(cache.lengths).toEqual(model.map(({ length }) => length));
            }
          });
        },
      ),
      { numRuns: 40 },
    );
  });
});
