// The z-loss, the entropy and the importance of a router against their formulas, with masks and where nothing counts.
import {
  ConfigError, importanceLoss, loadBalancingLoss, routerEntropyLoss, routerZLoss, ShapeError, tensor, TopKRouter, TopPRouter, valueAndGrad,
  type Backend, type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, expectWithin, mask, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

type Row = readonly number[];
const rowsOf = (seed: number, count: number, E: number): Row[] => {
  const all = normals(seed, count * E, 1.5);
  return Array.from({ length: count }, (_, r) => all.slice(r * E, (r + 1) * E));
};
const routingsOf = (layers: readonly (readonly Row[])[], k: number, normTopkProb = true): Routing[] =>
  layers.map((rows) =>
    new TopKRouter({ numExpertsPerTok: k, normTopkProb }).route(
      tensor(backend, rows.flat(), [1, rows.length, rows[0].length]),
    ),
  );
const value = async (x: Tensor): Promise<number> => {
  expect([x.shape, x.dtype]).toEqual([[], "f32"]);
  return (await numbers(x))[0];
};
const softmax = (row: Row): number[] => {
  const e = row.map((z) => Math.exp(z - Math.max(...row)));
  const total = e.reduce((a, b) => a + b);
  return e.map((x) => x / total);
};
const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / Math.max(x.length, 1);
const losses = { loadBalancingLoss, routerZLoss, routerEntropyLoss, importanceLoss };

describe.each(Object.entries(losses))("%s", (_, loss) => {
  test("is 0 where no row counts, and where there is none", async () => {
    const rowMask = mask(backend, [0, 0, 0], [1, 3]);
    expect(await value(loss(routingsOf([rowsOf(1, 3, 4)], 2), { rowMask }))).toBe(0);
    const none = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true }).route(tensor(backend, [], [1, 0, 4]));
    expect(await value(loss([none]))).toBe(0);
  });

  test("takes a list or a map, refuses none, and masks of other rows", async () => {
    const routings = routingsOf([rowsOf(1, 3, 4), rowsOf(2, 3, 4)], 2);
    expect(await value(loss(new Map([[1, routings[0]], [5, routings[1]]])))).toBe(await value(loss(routings))); // prettier-ignore
    expect(() => loss([])).toThrow(ConfigError);
    expect(() => loss(routings, { rowMask: mask(backend, [1, 1], [1, 2]) })).toThrow(ShapeError);
  });

  test("padding counts for nothing, whatever it holds; nothing is left behind", async () => {
    const rows = rowsOf(3, 2, 4);
    const clean = routingsOf([rows], 2);
    const padded = routingsOf([[rows[0], [9e9, -9e9, 0, NaN], rows[1]]], 2);
    const rowMask = mask(backend, [1, 0, 1], [1, 3]);
    const [without, within] = [await value(loss(clean)), await value(loss(padded, { rowMask }))];
    expectWithin([within], [without], [8 * u * Math.abs(without)]);
    await expectNoLeak(backend, () => loss(padded, { rowMask }).dispose());
  });
});

describe("routerZLoss", () => {
  test("is the mean over counted rows of all layers of logsumexp^2", async () => {
    const layers = [rowsOf(1, 3, 4), rowsOf(2, 3, 4), [[80, 80, 80, 80], [-90, -91, -90, -93], [0, 0, 0, 0]]]; // prettier-ignore
    const squares = layers.flat().map((row) => {
      const peak = Math.max(...row);
      return (peak + Math.log(row.reduce((sum, z) => sum + Math.exp(z - peak), 0))) ** 2;
    });
    const expected = mean(squares);
    // Terms >= 0; logsumexp rounds 4 times, twice that squared, and the sum and the quotient: 12.
    expectWithin([await value(routerZLoss(routingsOf(layers, 2)))], [expected], [12 * u * expected]);
  });
});

describe("routerEntropyLoss", () => {
  test("is the mean entropy of the rows: log E without an opinion, 0 when sure", async () => {
    const layers = [rowsOf(1, 3, 4), rowsOf(2, 2, 4), [[0, 0, 0, 0], [200, 0, 0, 0]]]; // prettier-ignore
    const entropies = layers.flat().map((row) => -softmax(row).reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0)); // prettier-ignore
    // Differences of numbers up to 200, ten roundings, a seventh of each.
    const found = await value(routerEntropyLoss(routingsOf(layers, 2)));
    expectWithin([found], [mean(entropies)], [(10 * 230 * u) / 7]);
    expect(await value(routerEntropyLoss(routingsOf([[[200, 0]]], 1)))).toBe(0);
    expectWithin([await value(routerEntropyLoss(routingsOf([[[3, 3, 3]]], 1)))], [Math.log(3)], [20 * u]);
  });

  test("its gradient makes a row surer downhill", async () => {
    const logits = tensor(backend, [1, 0], [1, 1, 2]);
    const router = new TopKRouter({ numExpertsPerTok: 1, normTopkProb: false });
    const { grads } = valueAndGrad(new Map([["z", logits]]), () => routerEntropyLoss([router.route(logits)]));
    // dH/dz_i = -p_i (log p_i + H)
    const p = softmax([1, 0]);
    const H = -p.reduce((sum, x) => sum + x * Math.log(x), 0);
    const expected = p.map((x) => -x * (Math.log(x) + H));
    expectWithin(await numbers(grads.get("z") as Tensor), expected, [20 * u, 20 * u]);
    expect(expected[0]).toBeLessThan(0);
  });
});

describe("importanceLoss", () => {
  test("is the squared coefficient of variation of the summed weights, per layer", async () => {
    const drawn = fc.record({ L: fc.integer({ min: 1, max: 2 }), T: fc.integer({ min: 1, max: 5 }), E: fc.integer({ min: 1, max: 5 }), k: fc.nat(), norm: fc.boolean(), seed: fc.nat() }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(drawn, async ({ L, T, E, k: draw, norm, seed }) => {
        const k = 1 + (draw % E);
        const layers = Array.from({ length: L }, (_, l) => rowsOf(seed + l, T, E));
        const expected = layers.map((rows) => {
          const importance = Array<number>(E).fill(0);
          for (const row of rows) {
            const p = softmax(row);
            const chosen = [...p.keys()].sort((i, j) => row[j] - row[i] || i - j).slice(0, k);
            const total = norm ? chosen.reduce((sum, e) => sum + p[e], 0) : 1;
            for (const e of chosen) importance[e] += p[e] / total;
          }
          const average = mean(importance);
          return mean(importance.map((x) => (x - average) ** 2)) / average ** 2;
        });
        const found = await value(importanceLoss(routingsOf(layers, k, norm)));
        // A deviation d is known to 20 roundings of numbers up to E means: its square over the squared mean, to 2 d 20 u E of at most E each.
        expectWithin([found], [mean(expected)], [60 * E * E * u]);
      }),
    );
  });

  test("0 when all weigh the same, E - 1 when one has everything; empty slots weigh nothing", async () => {
    expect(await value(importanceLoss(routingsOf([[[1, 0], [0, 1]]], 1)))).toBe(0); // prettier-ignore
    expect(await value(importanceLoss(routingsOf([[[9, 0, 0, 0]]], 1)))).toBe(3);
    const emptied = new TopPRouter({ topP: 0.1, maxExpertsPerTok: 3, normTopkProb: true });
    expect(await value(importanceLoss([emptied.route(tensor(backend, [9, 5, 0], [1, 1, 3]))]))).toBeCloseTo(2, 5);
  });

  test("the gradient reaches the gate through the weights", async () => {
    const z = [0.5, -0.2, 0.1, 1, 0.3, -0.4];
    const logits = tensor(backend, z, [1, 2, 3]);
    const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: false });
    const lossOf = (all: readonly number[]): number => {
      const p = [softmax(all.slice(0, 3)), softmax(all.slice(3))];
      const importance = [p[0][0] + p[1][0], p[1][1], p[0][2]]; // who is chosen: 0 and 2, 0 and 1
      const average = mean(importance);
      return mean(importance.map((x) => (x - average) ** 2)) / average ** 2;
    };
    const { grads } = valueAndGrad(new Map([["z", logits]]), () => importanceLoss([router.route(logits)]));
    const step = 1e-4;
    const slopes = z.map((_, i) => {
      const moved = (by: number): number[] => z.map((x, j) => Math.fround(x) + (i === j ? by : 0));
      return (lossOf(moved(step)) - lossOf(moved(-step))) / (2 * step);
    });
    expectWithin(await numbers(grads.get("z") as Tensor), slopes, slopes.map(() => 60 * u)); // prettier-ignore
  });
});
