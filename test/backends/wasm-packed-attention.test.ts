// Attention over packed pools gives the very bits that it gives over the decoded ones: rows are decoded a block of keys at a time, and what is
// computed with them is the same. Several blocks and chunks of keys, few and many query rows, slots that no pool has.
import { attention, dequantize, PackedTensor, quantize, Random, tensor, type Shape, type Tensor } from "qwen-blocks";
import { schemes } from "qwen-blocks/quant";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, test } from "vitest";
import { tables } from "../../src/testing/visibility.js";

const backends = [await wasm({ build: "simd128", threads: 1 }), await wasm({ threads: 2 })];
afterAll(() => Promise.all(backends.map((backend) => backend[Symbol.asyncDispose]())));

const plain = { causal: true, window: 0, sinks: 0, softcap: 0 };
const cases = [
  { B: 1, T: 1, S: 700, N: 700, Hkv: 2, G: 1, d: 64, ...plain },
  { B: 1, T: 1, S: 700, N: 700, Hkv: 2, G: 8, d: 33, ...plain },
  { B: 2, T: 1, S: 300, N: 50, Hkv: 2, G: 3, d: 16, ...plain, softcap: 5 },
  { B: 1, T: 2, S: 400, N: 400, Hkv: 1, G: 1, d: 7, ...plain, causal: false, window: 100 },
  { B: 2, T: 70, S: 200, N: 400, Hkv: 2, G: 2, d: 20, ...plain, window: 30, sinks: 4 },
  { B: 1, T: 40, S: 150, N: 150, Hkv: 1, G: 70, d: 4, ...plain },
];
const stored = [
  ["q8_0", "q8_0"],
  ["q4_0", "q4_0"],
  ["f16", "bf16"],
  ["bf16", "f16"],
  ["q8_0", "f32"],
  ["f32", "q4_0"],
];

const named = backends.map((backend) => ({ name: `${backend.info.build}, ${backend.info.threads}`, backend }));
describe.each(named)("$name", ({ backend }) => {
  describe.each(stored)("keys as %s, values as %s", (kAs, vAs) => {
    test.each(cases)("B $B, T $T, S $S, Hkv $Hkv, G $G, d $d", async ({ B, T, S, N, Hkv, G, d, ...rest }) => {
      for (const segments of [0, 2]) {
        const attrs = { ...rest, scale: 1 / Math.sqrt(d) };
        const random = new Random(segments + S);
        const { queries, keys } = tables(random, [B, T, S, N], attrs, segments);
        const normals = (shape: Shape): Tensor =>
          tensor(
            backend,
            Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
            shape,
          );
        const pool = (name: string): Tensor | PackedTensor => {
          const x = normals([N, Hkv, d]);
          return name === "f32" ? x : quantize(x, schemes[name]);
        };
        const numbers = (x: Tensor | PackedTensor): Tensor => (x instanceof PackedTensor ? dequantize(x) : x);
        const [q, k, v] = [normals([B, T, Hkv * G, d]), pool(kAs), pool(vAs)];
        const [asks, shows] = [queries, keys].map(({ data, shape }) => tensor(backend, data as Int32Array, shape));
        const made = await attention(q, k, v, asks, shows, attrs).data();
        const right = await attention(q, numbers(k), numbers(v), asks, shows, attrs).data();
        expect(right.some((x) => x !== 0)).toBe(true);
        const at = right.findIndex((x, i) => !Object.is(x, made[i]));
        expect(at === -1 ? "" : `[${at}] is ${made[at]}, must be ${right[at]}`).toBe("");
      }
    });
  });
});
