// Importances are what they say: the mean square of every column's inputs, computed by hand for a linear and for experts of which some see nothing.
import { disposeAll, Experts, Linear, scope, tensor, type Backend, type Tensor } from "qwen-blocks";
import { calibrate, packModel, int4, type Reader } from "qwen-blocks/quant";
import { expect, describe, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { livelyWeights } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

/** Reads numbers, not ids: two rows of a linear's outputs go to experts; expert 2 sees none, and one slot is empty. */
class Model implements Reader {
  readonly first: Linear;
  readonly experts: Experts;
  readonly #backend: Backend;

  constructor(backend: Backend) {
    const weights = livelyWeights(backend, 3);
    this.#backend = backend;
    this.first = new Linear(weights.at("first"), { inFeatures: 3, outFeatures: 4 });
    this.experts = new Experts(weights.at("experts"), { numExperts: 3, hiddenSize: 4, moeIntermediateSize: 2 });
  }

  forward(rows: readonly ArrayLike<number>[]): Tensor {
    return scope(() => {
      const x = tensor(this.#backend, Float32Array.from(rows.flatMap((row) => Array.from(row))), [rows.length, 3]);
      const experts = tensor(this.#backend, Int32Array.of(0, 1, 1, -1), [2, 2]);
      return this.experts.forward(this.first.forward(x), experts, tensor(this.#backend, [1, 1, 1, 1], [2, 2]));
    });
  }
}

const texts = [[[1, 2, 3], [4, 5, 6]], [[-1, 0, 2], [0, 0, 1]]]; // prettier-ignore

describe.each(availableBackends)("$name", ({ open }) => {
  test("mean squares of what each matrix meets, per expert, the inputs of down too", async () => {
    const backend = await open();
    await expectNoLeak(backend, async () => {
      const model = new Model(backend);
      const found = await calibrate(model, texts);
      const meanOf = (rows: readonly (readonly number[])[]): number[] =>
        rows[0].map((_, i) => rows.reduce((total, row) => total + row[i] ** 2, 0) / rows.length);
      const near = (path: string, expected: number[]): void => {
        const got = found.get(path) as Float32Array;
        expect(got.length).toBe(expected.length);
        // Sums of a few f32 products, of numbers that came through two products of less than 8 terms.
        expected.forEach((value, i) => expect(Math.abs(got[i] - value)).toBeLessThanOrEqual(1e-5 * (1 + value)));
      };
      const inputs = texts.flat();
      near("first.weight", meanOf(inputs));
      const rowsOf = async (weight: Tensor): Promise<number[][]> => {
        const [flat, width] = [await numbers(weight), weight.shape[weight.shape.length - 1]];
        return Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
      };
      const times = (matrix: number[][], x: readonly number[]): number[] =>
        matrix.map((row) => row.reduce((total, value, i) => total + value * x[i], 0));
      const first = await rowsOf(model.first.weight as Tensor);
      const middle = inputs.map((x) => times(first, x));
      const seen = [[middle[0], middle[2]], middle]; // of each text the first row meets experts 0 and 1, the second expert 1
      near("experts.gateUpProj", [...seen.flatMap(meanOf), 0, 0, 0, 0]);
      const gateUp = await rowsOf(model.experts.gateUpProj as Tensor);
      const hidden = (expert: number, x: readonly number[]): number[] => {
        const [g0, g1, u0, u1] = times(gateUp.slice(4 * expert, 4 * expert + 4), x);
        return [(g0 / (1 + Math.exp(-g0))) * u0, (g1 / (1 + Math.exp(-g1))) * u1];
      };
      near("experts.downProj", [...seen.flatMap((rows, e) => meanOf(rows.map((x) => hidden(e, x)))), 0, 0]);
      await packModel(model, { scheme: int4({ group: 1, scales: "leastSquares" }), importance: found });
      disposeAll(model);
      const idle = new Model(backend);
      await expect(calibrate(idle, [])).rejects.toThrow("calibrate: texts must make products");
      disposeAll(idle);
    });
    await backend[Symbol.asyncDispose]();
  });
});
