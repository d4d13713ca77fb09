// Dense products larger than one block, where packing, blocks and edges meet, against sums in f64.
import fc from "fast-check";
import { Random, linear, matmul, randn, scope, type Tensor } from "qwen-blocks";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, expect, test } from "vitest";

const backend = await wasm({ threads: 2 });
afterAll(() => backend[Symbol.asyncDispose]());

const unit = 2 ** -24;

/** Elements of the product, each with the sum of its terms' magnitudes. */
function inF64(
  a: Float32Array,
  b: Float32Array,
  bias: Float32Array | undefined,
  [rows, columns, k]: readonly [number, number, number],
  [aRow, aStep]: readonly [number, number],
  [bColumn, bStep]: readonly [number, number],
): { values: Float64Array; magnitudes: Float64Array } {
  const values = new Float64Array(rows * columns);
  const magnitudes = new Float64Array(rows * columns);
  for (let m = 0; m < rows; m++) {
    for (let n = 0; n < columns; n++) {
      let sum = bias?.[n] ?? 0;
      let magnitude = Math.abs(sum);
      for (let i = 0; i < k; i++) {
        const term = a[m * aRow + i * aStep] * b[n * bColumn + i * bStep];
        sum += term;
        magnitude += Math.abs(term);
      }
      values[m * columns + n] = sum;
      magnitudes[m * columns + n] = magnitude;
    }
  }
  return { values, magnitudes };
}

async function expectNear(y: Tensor, k: number, { values, magnitudes }: ReturnType<typeof inF64>): Promise<void> {
  const found = (await y.data()) as Float32Array;
  expect(found.length).toBe(values.length);
  // Each product and each of at most k + 1 additions rounds once, in any order (Higham, section 3.1).
  const wrong = found.findIndex((value, i) => !(Math.abs(value - values[i]) <= (k + 2) * 1.01 * unit * magnitudes[i]));
  expect(wrong === -1 ? "" : `element ${wrong} of ${String(y.shape)}: ${found[wrong]}, not ${values[wrong]}`).toBe("");
}

const extent = (most: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: most }), fc.constantFrom(16, 17, 63, 64, 65));

test("products of any size, either side transposed, with and without bias", async () => {
  const sizes = fc.record({
    rows: extent(140),
    columns: fc.oneof(extent(140), fc.integer({ min: 505, max: 530 })),
    k: fc.oneof(extent(300), fc.constantFrom(0, 511, 512, 513, 1030)),
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(sizes, fc.nat(), async ({ rows, columns, k, transposeA, transposeB }, seed) => {
      const random = new Random(seed);
      const made: Tensor[] = [];
      const drawn = (...shape: number[]): Tensor => {
        made.push(randn(backend, shape, random));
        return made[made.length - 1];
      };
      const a = transposeA ? drawn(k, rows) : drawn(rows, k);
      const b = transposeB ? drawn(columns, k) : drawn(k, columns);
      const bias = drawn(columns);
      const [x, w, added] = (await Promise.all([a, b, bias].map((t) => t.data()))) as Float32Array[];
      const shape = [rows, columns, k] as const;
      const aSteps = transposeA ? ([1, rows] as const) : ([k, 1] as const);
      const bSteps = transposeB ? ([k, 1] as const) : ([1, columns] as const);
      made.push(matmul(a, b, { transposeA, transposeB }));
      await expectNear(made[made.length - 1], k, inF64(x, w, undefined, shape, aSteps, bSteps));
      if (!transposeA && transposeB) {
        made.push(linear(a, b, bias));
        await expectNear(made[made.length - 1], k, inF64(x, w, added, shape, aSteps, bSteps));
      }
      for (const t of made) t.dispose();
    }),
    { numRuns: 40 },
  );
});

test("a batch of products", async () => {
  const [a, b] = scope(() => [randn(backend, [3, 70, 40], new Random(1)), randn(backend, [3, 40, 90], new Random(2))]);
  const y = matmul(a, b);
  const [x, w, found] = (await Promise.all([a, b, y].map((t) => t.data()))) as Float32Array[];
  for (let i = 0; i < 3; i++) {
    const expected = inF64(x.subarray(i * 2800), w.subarray(i * 3600), undefined, [70, 90, 40], [40, 1], [1, 90]);
    const worst = expected.values.findIndex(
      (value, j) => Math.abs(found[i * 6300 + j] - value) > 42 * unit * expected.magnitudes[j],
    );
    expect(worst).toBe(-1);
  }
  for (const t of [a, b, y]) t.dispose();
});
