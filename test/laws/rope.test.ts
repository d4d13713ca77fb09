// The law of RoPE: attention sees distances alone, so positions that are all shifted by the same number change nothing. The table's own
// rounding, which depends on the place, is given to the oracle as a bound.
import { Attention, disposeAll, Rope, ropeFrequencies, tensor, weightsFrom, type Backend, type Positions, type RopeOptions, type Tensor } from "qwen-blocks"; // prettier-ignore
import { oracle } from "qwen-blocks/testing";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { normals, u } from "../tensor/numbers.js";
import { expectSame, Tally, type Way } from "./expect-same.js";

const hiddenSize = 6;
const rules: readonly RopeOptions[] = [
  { ropeType: "default", ropeTheta: 100 },
  { ropeType: "default", ropeTheta: 1e6, partialRotaryFactor: 0.5 },
  { ropeType: "linear", ropeTheta: 100, factor: 4 },
];
const drawn = fc.record({
  options: fc.constantFrom(...rules),
  Hkv: fc.integer({ min: 1, max: 2 }),
  G: fc.integer({ min: 1, max: 2 }),
  qkNorm: fc.boolean(),
  slidingWindow: fc.integer({ min: 0, max: 3 }),
  /** Distances between neighbours: positions need not be dense. */
  steps: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 5 }),
  shift: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 3000 })),
  seed: fc.nat(),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

const attend =
  ({ Hkv, G, qkNorm, slidingWindow, steps, seed }: Drawn, from: number, ropeOn: (where: Backend) => Rope): Way =>
  (where) => {
    const w = weightsFrom(where, (path, shape) => {
      const count = shape.reduce((product, extent) => product * extent, 1);
      return tensor(where, normals(seed + path.length, count, 0.5), shape);
    });
    using rope = ropeOn(where);
    const block = new Attention(w, { hiddenSize, numAttentionHeads: G * Hkv, numKeyValueHeads: Hkv, headDim: 4, qkNorm, rmsNormEps: 1e-6, slidingWindow, rope }); // prettier-ignore
    const position = Int32Array.from(steps, (_, t) => from + steps.slice(0, t).reduce((sum, step) => sum + step, 0));
    const positions: Positions = { shape: [1, steps.length], position, segment: new Int32Array(steps.length) };
    const x = tensor(where, normals(seed + 100, steps.length * hiddenSize), [1, steps.length, hiddenSize]);
    const y = block.forward(x, { positions });
    disposeAll(block);
    return [y];
  };

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("only distances count", async () => {
    const tally = new Tally();
    await fc.assert(
      fc.asyncProperty(drawn, async (one) => {
        const judge = oracle(backend.features.accuracy);
        /** The angle p f is rounded, by u p f, which moves sines and cosines by no more; then each of them is, by u at most. */
        const exactTable = (rows: number): Tensor => {
          const { inverseFrequencies, attentionFactor } = ropeFrequencies(4, one.options);
          const angles = Array.from({ length: rows }, (_, p) => [...inverseFrequencies].map((f) => p * f));
          const table = tensor(judge, new Float32Array(rows * 2 * inverseFrequencies.length), [rows, 2 * inverseFrequencies.length]); // prettier-ignore
          const values = angles.flatMap((row) => [...row.map(Math.cos), ...row.map(Math.sin)]);
          const bounds = angles.flatMap((row) => [...row, ...row]).map((angle) => u * (1 + angle) * attentionFactor);
          judge.assign(table, Float64Array.from(values, (y) => y * attentionFactor), Float64Array.from(bounds)); // prettier-ignore
          return table;
        };
        const ropeOn = (where: Backend): Rope => {
          const rope = new Rope(where, 4, one.options);
          return where === judge ? Object.assign(rope, { table: exactTable }) : rope;
        };
        await expectSame(backend, { near: attend(one, 0, ropeOn), far: attend(one, one.shift, ropeOn) }, tally, {
          judge,
        });
      }),
      { numRuns: runs(30) },
    );
    tally.expectMost();
  });
});
