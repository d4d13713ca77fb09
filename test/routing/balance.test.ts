// The load-balancing loss as transformers computes it, and its gradient in closed form; per sequence and over sigmoids as DeepSeek-V3 has it; what must not count.
import {
  CapacityRouter, ConfigError, loadBalancingLoss, routerZLoss, ShapeError, SigmoidRouter, tensor, TopKRouter, valueAndGrad, type BalanceOptions, type Backend,
  type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, ints, mask, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

type Row = readonly number[];
const softmax = (row: Row): number[] => {
  const e = row.map((z) => Math.exp(z - Math.max(...row)));
  const total = e.reduce((a, b) => a + b);
  return e.map((x) => x / total);
};
const chosen = (row: Row, k: number): number[] => [...row.keys()].sort((i, j) => row[j] - row[i] || i - j).slice(0, k);

/** f and P of some rows, by the book. */
function shares(rows: readonly Row[], k: number): { f: number[]; P: number[] } {
  const E = rows[0].length;
  const f = Array.from({ length: E }, (_, i) => rows.filter((row) => chosen(row, k).includes(i)).length / rows.length);
  const P = f.map((_, i) => rows.reduce((sum, row) => sum + softmax(row)[i], 0) / rows.length);
  return { f, P };
}
const byHand = (rows: readonly Row[], k: number): number => {
  const { f, P } = shares(rows, k);
  return f.length * f.reduce((sum, share, i) => sum + share * P[i], 0);
};

/** Layers [L][rows][E] as routings of one batch row. */
const routingsOf = (layers: readonly (readonly Row[])[], k: number): Routing[] =>
  layers.map((rows) =>
    new TopKRouter({ numExpertsPerTok: k, normTopkProb: true }).route(
      tensor(backend, rows.flat(), [1, rows.length, rows[0].length]),
    ),
  );
const value = async (x: Tensor): Promise<number> => {
  expect([x.shape, x.dtype]).toEqual([[], "f32"]);
  return (await numbers(x))[0];
};
const rowsOf = (seed: number, count: number, E: number): Row[] => {
  const all = normals(seed, count * E, 1.5);
  return Array.from({ length: count }, (_, r) => all.slice(r * E, (r + 1) * E));
};
/** Loss = E sum f P with f exact up to one division and P a sum of probabilities rounded once each: 8 roundings of a sum of terms >= 0. */
const near = (expected: number): number => 8 * u * expected;

describe("loadBalancingLoss", () => {
  test("is exactly k at perfect balance, whatever k", async () => {
    for (const [E, k] of [
      [4, 2],
      [8, 1],
      [8, 8],
      [6, 3],
    ]) {
      // prettier-ignore
      // Uniform probabilities, and each expert chosen equally often: hand-made slots, since ties would pick the low ones.
      const logits = tensor(backend, Array<number>(E * E).fill(0), [1, E, E]);
      const experts = Array.from({ length: E }, (_, r) => Array.from({ length: k }, (_, j) => (r + j) % E)).flat();
      const routing = { logits, weights: logits, experts: ints(backend, experts, [1, E, k]), dropped: undefined };
      expect(await value(loadBalancingLoss([routing]))).toBe(k);
    }
  });

  test("is k whenever the probabilities are uniform, even if the same experts are always chosen", async () => {
    const zeros = Array.from({ length: 5 }, () => [0, 0, 0, 0]);
    expect(await value(loadBalancingLoss(routingsOf([zeros], 3)))).toBe(3);
  });

  test("is E at collapse on one expert", async () => {
    const rows = Array.from({ length: 4 }, () => [0, 200, 0, 0, 0]);
    expect(await value(loadBalancingLoss(routingsOf([rows], 1)))).toBe(5);
  });

  test("is the formula for any rows, pooled and per layer", async () => {
    const drawn = fc.record({ L: fc.integer({ min: 1, max: 3 }), T: fc.integer({ min: 1, max: 5 }), E: fc.integer({ min: 2, max: 6 }), seed: fc.nat() }).chain(({ E, ...rest }) =>
      fc.record({ rest: fc.constant(rest), E: fc.constant(E), k: fc.integer({ min: 1, max: E }) })); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(drawn, async ({ rest: { L, T, seed }, E, k }) => {
        const layers = Array.from({ length: L }, (_, l) => rowsOf(seed + l, T, E));
        const routings = routingsOf(layers, k);
        const pooled = byHand(layers.flat(), k);
        const perLayer = layers.reduce((sum, rows) => sum + byHand(rows, k), 0) / L;
        expectWithin([await value(loadBalancingLoss(routings))], [pooled], [near(pooled)]);
        const each = await value(loadBalancingLoss(routings, { reduction: "perLayer" }));
        expectWithin([each], [perLayer], [near(perLayer)]);
      }),
    );
  });

  test("per sequence it is the mean over batch rows, of which those of padding alone do not count", async () => {
    const drawn = fc.record({ B: fc.integer({ min: 1, max: 3 }), T: fc.integer({ min: 1, max: 4 }), E: fc.integer({ min: 2, max: 5 }), seed: fc.nat(), masks: fc.boolean() }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(drawn, async ({ B, T, E, seed, masks }) => {
        const layers = [rowsOf(seed, B * T, E), rowsOf(seed + 1, B * T, E)];
        const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
        const routings = layers.map((rows) => router.route(tensor(backend, rows.flat(), [B, T, E])));
        const m = normals(seed + 2, B * T).map((z, r) => Number(!masks || (z > 0 && r >= T))); // the first has none
        const options = masks ? { rowMask: mask(backend, m, [B, T]) } : {};
        const ofLayer = (rows: readonly Row[]): number => {
          const sequences = Array.from({ length: B }, (_, b) =>
            rows.filter((__, r) => Math.floor(r / T) === b && m[r]),
          );
          const losses = sequences.filter(({ length }) => length > 0).map((counted) => byHand(counted, 2));
          return losses.reduce((a, b) => a + b, 0) / Math.max(losses.length, 1);
        };
        const expected = (ofLayer(layers[0]) + ofLayer(layers[1])) / 2;
        const found = await value(loadBalancingLoss(routings, { ...options, reduction: "perSequence" }));
        expectWithin([found], [expected], [2 * near(expected)]);
      }),
    );
  });

  test("over sigmoids P is their share of the row's sum, and the gradient follows it", async () => {
    const rows = rowsOf(4, 3, 4);
    const router = new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true });
    const share = (row: Row): number[] => {
      const scores = row.map((z) => 1 / (1 + Math.exp(-z)));
      return scores.map((s) => s / scores.reduce((a, b) => a + b));
    };
    const lossOf = (given: readonly Row[]): number => {
      const { f } = shares(rows, 2);
      const P = f.map((_, i) => given.reduce((sum, row) => sum + share(row)[i], 0) / given.length);
      return 4 * f.reduce((sum, x, i) => sum + x * P[i], 0);
    };
    const logits = tensor(backend, rows.flat(), [1, 3, 4]);
    const { value: loss, grads } = valueAndGrad(new Map([["z", logits]]), () =>
      loadBalancingLoss([router.route(logits)], { score: "sigmoid" }),
    );
    expectWithin([await value(loss)], [lossOf(rows)], [2 * near(lossOf(rows))]);
    const step = 1e-4;
    const slopes = rows.flatMap((row, r) =>
      row.map((_, i) => {
        const moved = (by: number): Row[] => rows.map((one, q) => one.map((z, j) => (q === r && i === j ? z + by : z)));
        return (lossOf(moved(step)) - lossOf(moved(-step))) / (2 * step);
      }),
    );
    // The slope's third derivative leaves 1e-8, the gradient's roundings of numbers up to E k less.
    expectWithin(await numbers(grads.get("z") as Tensor), slopes, slopes.map(() => 40 * u)); // prettier-ignore
  });

  test("refuses other reductions and scores; no batch rows are balanced", async () => {
    const routings = routingsOf([rowsOf(1, 3, 4)], 2);
    for (const options of [{ reduction: "sum" }, { score: "uniform" }]) {
      expect(() => loadBalancingLoss(routings, options as BalanceOptions)).toThrow(ConfigError);
    }
    const none = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
    for (const shape of [
      [0, 3, 4],
      [2, 0, 4],
    ]) {
      // prettier-ignore
      for (const reduction of ["pooled", "perLayer", "perSequence"] as const) {
        expect(await value(loadBalancingLoss([none.route(tensor(backend, [], shape))], { reduction }))).toBe(0);
      }
    }
  });

  test("pooling hides opposite imbalances of two layers, per layer shows them", async () => {
    const lean = (to: number): Row[] => Array.from({ length: 4 }, () => (to === 0 ? [5, 0] : [0, 5]));
    const routings = routingsOf([lean(0), lean(1)], 1);
    const pooled = await value(loadBalancingLoss(routings));
    const perLayer = await value(loadBalancingLoss(routings, { reduction: "perLayer" }));
    expectWithin([pooled, perLayer], [1, 2 / (1 + Math.exp(-5))], [near(1), near(2)]);
  });

  test("applies softmax once: logits that are already probabilities give another number", async () => {
    const rows = rowsOf(3, 6, 4);
    const once = await value(loadBalancingLoss(routingsOf([rows], 2)));
    const twice = byHand(rows.map(softmax), 2);
    expectWithin([once], [byHand(rows, 2)], [near(once)]);
    expect(Math.abs(once - twice)).toBeGreaterThan(0.01);
  });

  test("masked rows count for nothing, on either side, in every layer", async () => {
    const layers = [rowsOf(1, 6, 4), rowsOf(2, 6, 4)];
    const kept = [0, 1, 1, 0, 1, 0];
    const rowMask = mask(backend, kept, [1, 6]);
    const short = layers.map((rows) => rows.filter((_, r) => kept[r]));
    for (const reduction of ["pooled", "perLayer"] as const) {
      // The same sums with zeros added: not one bit may differ.
      const masked = await value(loadBalancingLoss(routingsOf(layers, 2), { rowMask, reduction }));
      expect(masked).toBe(await value(loadBalancingLoss(routingsOf(short, 2), { reduction })));
    }
    const z = await value(routerZLoss(routingsOf(layers, 2), { rowMask }));
    expect(z).toBe(await value(routerZLoss(routingsOf(short, 2))));
  });

  test("any mask number but 0 counts one row once", async () => {
    const routings = routingsOf([rowsOf(1, 3, 4)], 2);
    const of = (m: number[]): BalanceOptions => ({ rowMask: mask(backend, m, [1, 3]) });
    expect(await value(loadBalancingLoss(routings, of([1, 0, 9])))).toBe(await value(loadBalancingLoss(routings, of([1, 0, 1])))); // prettier-ignore
    expect(await value(routerZLoss(routings, of([1, 0, 9])))).toBe(await value(routerZLoss(routings, of([1, 0, 1]))));
  });

  test("what a masked row holds does not matter, not even infinities", async () => {
    const rows = rowsOf(1, 3, 4);
    const rowMask = mask(backend, [1, 1, 0], [1, 3]);
    const broken = routingsOf([[rows[0], rows[1], [Infinity, 3e38, NaN, -Infinity]]], 2);
    const clean = routingsOf([rows], 2);
    expect(await value(loadBalancingLoss(broken, { rowMask }))).toBe(
      await value(loadBalancingLoss(clean, { rowMask })),
    );
    expect(await value(routerZLoss(broken, { rowMask }))).toBe(await value(routerZLoss(clean, { rowMask })));
  });

  test("nor does it reach the gradient", async () => {
    const [first, second] = rowsOf(1, 2, 4);
    const rowMask = mask(backend, [1, 1, 0], [1, 3]);
    const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
    for (const loss of [loadBalancingLoss, routerZLoss]) {
      const gradient = async (masked: Row): Promise<Row> => {
        const logits = tensor(backend, [first, second, masked].flat(), [1, 3, 4]);
        const { grads } = valueAndGrad(new Map([["z", logits]]), () => loss([router.route(logits)], { rowMask }));
        return numbers(grads.get("z") as Tensor);
      };
      const clean = await gradient([0, 0, 0, 0]);
      expect(clean.slice(0, 8).some((x) => x !== 0)).toBe(true);
      expect(clean.slice(8)).toEqual([0, 0, 0, 0]);
      expect(await gradient([Infinity, 3e38, NaN, -Infinity])).toEqual(clean);
    }
  });

  test("the gradient flows through P alone, by the closed form", async () => {
    const [E, k] = [5, 2];
    const layers = [rowsOf(7, 4, E), rowsOf(8, 4, E)];
    const m = [1, 0, 1, 1];
    const rowMask = mask(backend, m, [1, 4]);
    const logits = layers.map((rows) => tensor(backend, rows.flat(), [1, 4, E]));
    const router = new TopKRouter({ numExpertsPerTok: k, normTopkProb: true });
    const { grads } = valueAndGrad(
      new Map(logits.map((z, l) => [String(l), z])),
      () =>
      loadBalancingLoss(logits.map((z) => router.route(z)), { rowMask }), // prettier-ignore
    );
    const counted = layers.flatMap((rows) => rows.filter((_, r) => m[r]));
    const { f } = shares(counted, k);
    for (const [l, rows] of layers.entries()) {
      // d aux / d z_rj = E m_r / R p_rj (f_j - sum_i f_i p_ri)
      const expected = rows.flatMap((row, r) => {
        const p = softmax(row);
        const mean = p.reduce((sum, x, i) => sum + x * f[i], 0);
        return p.map((x, j) => ((E * m[r]) / counted.length) * x * (f[j] - mean));
      });
      // Each is a difference of two numbers up to E k / R, through about 12 roundings.
      const bound = ((12 * u * E * k) / counted.length) * 1;
      expectWithin(await numbers(grads.get(String(l)) as Tensor), expected, expected.map(() => bound)); // prettier-ignore
    }
  });

  test("routings may be a list, a map by layer, or any iterable; empty slots are no choice", async () => {
    const routings = routingsOf([rowsOf(1, 3, 4), rowsOf(2, 3, 4)], 2);
    const list = await value(loadBalancingLoss(routings));
    expect(await value(loadBalancingLoss(new Map([[1, routings[0]], [5, routings[1]]])))).toBe(list); // prettier-ignore
    expect(await value(loadBalancingLoss(new Set(routings)))).toBe(list);
    // Two rows, k = 2, the second slot of one row empty: f = (1, 1/2), P = 1/2 each.
    const logits = tensor(backend, [0, 0, 0, 0], [1, 2, 2]);
    const experts = ints(backend, [0, 1, 0, -1], [1, 2, 2]);
    expect(await value(loadBalancingLoss([{ logits, weights: logits, experts, dropped: undefined }]))).toBe(1.5);
  });

  test("what a capacity dropped was chosen nevertheless", async () => {
    const router = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
    const logits = tensor(backend, rowsOf(4, 6, 4).flat(), [1, 6, 4]);
    const capped = new CapacityRouter(router, { capacityFactor: 0.3 }).route(logits);
    expect((await capped.dropped?.data())?.some((count) => count > 0)).toBe(true);
    const expected = await value(loadBalancingLoss([router.route(logits)]));
    expect(await value(loadBalancingLoss([capped]))).toBe(expected);
  });

  test("a mask of other rows is refused by length, not reused", () => {
    const routings = routingsOf([rowsOf(1, 3, 4)], 2);
    for (const shape of [[1, 5], [3], [3, 1], [1, 2]]) {
      // prettier-ignore
      const rowMask = mask(backend, Array(shape.reduce((a, b) => a * b)).fill(1) as number[], shape);
      expect(() => loadBalancingLoss(routings, { rowMask })).toThrow(ShapeError);
      expect(() => loadBalancingLoss(routings, { rowMask })).toThrow(/\[1,3\]/);
    }
  });

  test("without a routing, or with layers of unlike size, it says so", () => {
    expect(() => loadBalancingLoss(new Map())).toThrow(ConfigError);
    const unlike = [...routingsOf([rowsOf(1, 3, 4)], 2), ...routingsOf([rowsOf(1, 3, 5)], 2)];
    expect(() => loadBalancingLoss(unlike)).toThrow(ShapeError);
    expect(loadBalancingLoss(unlike, { reduction: "perLayer" }).shape).toEqual([]);
  });
});
