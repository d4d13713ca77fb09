// AdamW and clipping against their formulas in f64.
import { fill, tensor, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { AdamW, clipScale, globalNorm } from "qwen-blocks/train";
import { beforeAll, describe, expect, test } from "vitest";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

/** torch.optim.AdamW in f64. */
function reference(param: number, grads: readonly number[], rates: readonly number[], decay: number): number {
  const [beta1, beta2, eps] = [0.9, 0.95, 1e-8];
  let [mean, variance] = [0, 0];
  grads.forEach((grad, i) => {
    param -= rates[i] * decay * param;
    mean = beta1 * mean + (1 - beta1) * grad;
    variance = beta2 * variance + (1 - beta2) * grad * grad;
    const corrected = Math.sqrt(variance / (1 - beta2 ** (i + 1))) + eps;
    param -= (rates[i] * (mean / (1 - beta1 ** (i + 1)))) / corrected;
  });
  return param;
}

describe("AdamW", () => {
  const grads = [0.5, -2, 0.25, 3];
  const rates = [0.1, 0.05, 0.2, 0.1];

  test("takes torch's steps, with decay on matrices and not on vectors", async () => {
    const matrix = tensor(backend, [1.5], [1, 1]);
    const vector = tensor(backend, [1.5], [1]);
    const optimizer = new AdamW(
      new Map([
        ["matrix", matrix],
        ["vector", vector],
      ]),
      { weightDecay: 0.1 },
    );
    for (const [i, grad] of grads.entries()) {
      optimizer.advance(rates[i]);
      optimizer.apply(
        new Map([
          ["matrix", tensor(backend, [grad], [1, 1])],
          ["vector", tensor(backend, [grad])],
        ]),
      );
    }
    // About ten roundings per step on numbers near 1.5, four steps.
    const bound = 40 * 1.5 * 2 ** -24;
    expect(Math.abs((await matrix.data())[0] - reference(1.5, grads, rates, 0.1))).toBeLessThan(bound);
    expect(Math.abs((await vector.data())[0] - reference(1.5, grads, rates, 0))).toBeLessThan(bound);
    expect(optimizer.steps).toBe(4);
  });

  test("scales gradients by what clipping says", async () => {
    const a = tensor(backend, [1, 2]);
    const b = tensor(backend, [1, 2]);
    const optimizer = new AdamW(new Map([["a", a]]), { eps: 1 });
    const scaled = new AdamW(new Map([["a", b]]), { eps: 1 });
    optimizer.advance(0.1);
    scaled.advance(0.1);
    optimizer.apply(new Map([["a", tensor(backend, [2, 4])]]));
    scaled.apply(new Map([["a", tensor(backend, [4, 8])]]), fill(backend, [], 0.5));
    expect(await b.data()).toEqual(await a.data());
  });

  test("refuses missing gradients, options out of range, and nothing to train", () => {
    const a = tensor(backend, [1]);
    const optimizer = new AdamW(new Map([["a.b", a]]));
    optimizer.advance(0.1);
    expect(() => optimizer.apply(new Map())).toThrow(
      "AdamW: grads must hold one for every parameter, got none for a.b",
    );
    expect(() => new AdamW(new Map())).toThrow("at least one parameter");
    expect(() => new AdamW(new Map([["a", a]]), { beta2: 1 })).toThrow("AdamW: beta2 must lie in [0, 1), got 1");
  });
});

describe("clipping", () => {
  test("the norm is that of all gradients together", async () => {
    const grads = new Map([
      ["a", tensor(backend, [3, 0], [2, 1])],
      ["b", tensor(backend, [4])],
    ]);
    expect((await globalNorm(grads).data())[0]).toBe(5);
  });

  test.each([
    { norm: 5, max: 1, scale: 1 / 5.000001 },
    { norm: 0.5, max: 1, scale: 1 },
    { norm: 0, max: 1, scale: 1 },
  ])("norm $norm with at most $max", async ({ norm, max, scale }) => {
    const [found] = await clipScale(fill(backend, [], norm), max).data();
    expect(Math.abs(found - scale)).toBeLessThanOrEqual(2 * 2 ** -24);
  });
});
