// Expert choice against the formula by hand, per row and per batch; padding; edges.
import {
  ConfigError,
  ExpertChoiceRouter,
  tensor,
  zeros,
  type Backend,
  type ExpertChoiceRouterOptions,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, mask, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

const softmax = (row: readonly number[]): number[] => {
  const total = row.reduce((sum, z) => sum + Math.exp(z), 0);
  return row.map((z) => Math.exp(z) / total);
};

describe("ExpertChoiceRouter", () => {
  test("every expert takes the tokens that give it the largest share", async () => {
    const drawn = fc.record({
      B: fc.integer({ min: 1, max: 3 }),
      T: fc.integer({ min: 1, max: 6 }),
      E: fc.integer({ min: 1, max: 5 }),
      factor: fc.constantFrom(0, 0.4, 1, 1.5, 2, 100),
      per: fc.constantFrom("row" as const, "batch" as const),
      masks: fc.boolean(),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(drawn, async ({ B, T, E, factor, per, masks, seed }) => {
        const logits = normals(seed, B * T * E, 1.5);
        const real = normals(seed + 1, B * T).map((z) => Number(!masks || z > 0));
        const router = new ExpertChoiceRouter({ capacityFactor: factor, per });
        const rowMask = masks ? mask(backend, real, [B, T]) : undefined;
        const { experts, weights } = router.route(tensor(backend, logits, [B, T, E]), rowMask);
        const shares = Array.from({ length: B * T }, (_, r) => softmax(logits.slice(r * E, (r + 1) * E)));
        const size = per === "row" ? T : B * T;
        const room = Math.min(size, Math.ceil((size * factor) / E));
        const expected = shares.map((row) => row.map(() => -1));
        for (let from = 0; from < B * T; from += size) {
          const tokens = Array.from({ length: size }, (_, t) => from + t).filter((t) => real[t]);
          for (let e = 0; e < E; e++) {
            const best = [...tokens].sort((a, b) => shares[b][e] - shares[a][e] || a - b).slice(0, room);
            for (const t of best) expected[t][e] = e;
          }
        }
        expect(await numbers(experts)).toEqual(expected.flat());
        const given = shares.map((row, t) => row.map((p, e) => (expected[t][e] === -1 ? 0 : p))).flat();
        expectWithin(await numbers(weights), given, given.map((p) => 8 * u * p)); // prettier-ignore
      }),
    );
  });

  test("ties go to the earlier token", async () => {
    const { experts } = new ExpertChoiceRouter({ capacityFactor: 1 }).route(zeros(backend, [1, 4, 2]));
    expect(await numbers(experts)).toEqual([0, 1, 0, 1, -1, -1, -1, -1]);
  });

  test("no tokens, no rows, only padding", async () => {
    const router = new ExpertChoiceRouter({ capacityFactor: 1 });
    for (const per of ["row", "batch"] as const) {
      const either = new ExpertChoiceRouter({ capacityFactor: 1, per });
      for (const shape of [[1, 0, 3], [0, 4, 3]]) expect(either.route(zeros(backend, shape)).experts.shape).toEqual(shape); // prettier-ignore
    }
    const { experts, weights } = router.route(zeros(backend, [1, 2, 2]), mask(backend, [0, 0], [1, 2]));
    expect([...(await numbers(experts)), ...(await numbers(weights))]).toEqual([-1, -1, -1, -1, 0, 0, 0, 0]);
    expect(router.rowWise).toBe(false);
  });

  const bad: Record<string, object> = {
    "no factor": {},
    "a negative factor": { capacityFactor: -1 },
    "an endless factor": { capacityFactor: Infinity },
    "another group": { capacityFactor: 1, per: "expert" },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => new ExpertChoiceRouter(options as ExpertChoiceRouterOptions)).toThrow(ConfigError);
  });
});
