// The loss of language modelling by hand: what counts, and what the mean is over.
import { ShapeError, tensor, valueAndGrad, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { ignoredTarget, nextTokenLoss } from "qwen-blocks/train";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, ints, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const [ln2, ln3] = [Math.log(2), Math.log(3)];
/** Probabilities 1/2 1/4 1/4, 1/3 1/3 1/3, 1/5 1/5 3/5, 1/3 1/3 1/3. */
const rows = [ln2, 0, 0, 0, 0, 0, 0, 0, ln3, 0, 0, 0];
const lossOf = async (...targets: number[]): Promise<number> =>
  (await numbers(nextTokenLoss(tensor(backend, rows, [2, 2, 3]), ints(backend, targets, [2, 2]))))[0];

describe("nextTokenLoss", () => {
  test("is the mean over the targets that count, not over all", async () => {
    // Sums of up to four terms below 2, each rounded three times.
    const near = (x: number, y: number): void => {
      expectWithin([x], [y], [12 * 2 * u]);
    };
    near(await lossOf(0, 1, 2, 0), (ln2 + 2 * ln3 + Math.log(5 / 3)) / 4);
    near(await lossOf(0, ignoredTarget, 2, ignoredTarget), (ln2 + Math.log(5 / 3)) / 2);
    near(await lossOf(ignoredTarget, ignoredTarget, ignoredTarget, 1), ln3);
  });

  test("is 0 where nothing counts, and so is its gradient", async () => {
    const none = [ignoredTarget, ignoredTarget, ignoredTarget, ignoredTarget];
    expect(await lossOf(...none)).toBe(0);
    const logits = tensor(backend, rows, [2, 2, 3]);
    const { grads } = valueAndGrad(new Map([["logits", logits]]), () =>
      nextTokenLoss(logits, ints(backend, none, [2, 2])),
    );
    for (const grad of grads.values()) expect((await numbers(grad)).every((x) => x === 0)).toBe(true);
  });

  test("refuses targets of another shape", () => {
    const logits = tensor(backend, rows, [2, 2, 3]);
    expect(() => nextTokenLoss(logits, ints(backend, [0, 0, 0, 0], [4]))).toThrow(ShapeError);
  });
});
