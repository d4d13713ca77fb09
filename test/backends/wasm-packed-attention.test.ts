// Attention over packed pools gives the very bits that it gives over the decoded ones: rows are decoded a block of keys at a time, and what is
// computed with them is the same; so do its gradients. Several blocks and chunks of keys, few and many query rows, slots that no pool has.
import {
  attention,
  attentionGrad,
  dequantize,
  PackedTensor,
  quantize,
  Random,
  tensor,
  trace,
  type AttentionAttrs,
  type Backend,
  type Shape,
  type Tensor,
} from "qwen-blocks";
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

/** What a call of attention is drawn from. */
interface Drawn {
  readonly q: Tensor;
  readonly k: Tensor | PackedTensor;
  readonly v: Tensor | PackedTensor;
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly dy: Tensor;
  readonly attrs: AttentionAttrs;
}

function drawn(
  backend: Backend,
  { B, T, S, N, Hkv, G, d, ...rest }: (typeof cases)[number],
  [kAs, vAs]: readonly string[],
  segments: number,
): Drawn {
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
  const rows = [B, T, Hkv * G, d];
  const [asks, shows] = [queries, keys].map(({ data, shape }) => tensor(backend, data as Int32Array, shape));
  return { q: normals(rows), k: pool(kAs), v: pool(vAs), queries: asks, keys: shows, dy: normals(rows), attrs };
}

const numbers = (x: Tensor | PackedTensor): Tensor => (x instanceof PackedTensor ? dequantize(x) : x);

async function expectSame(what: string, made: Tensor, right: Tensor): Promise<void> {
  const [a, b] = [(await made.data()) as Float32Array, (await right.data()) as Float32Array];
  expect(b.some((x) => x !== 0)).toBe(true);
  const at = b.findIndex((x, i) => !Object.is(x, a[i]));
  expect(at === -1 ? "" : `${what}[${at}] is ${a[at]}, must be ${b[at]}`).toBe("");
}

const named = backends.map((backend) => ({ name: `${backend.info.build}, ${backend.info.threads}`, backend }));
describe.each(named)("$name", ({ backend }) => {
  describe.each(stored)("keys as %s, values as %s", (...stored) => {
    test.each(cases)("B $B, T $T, S $S, Hkv $Hkv, G $G, d $d", async (sizes) => {
      for (const segments of [0, 2]) {
        const { q, k, v, queries, keys, attrs } = drawn(backend, sizes, stored, segments);
        const made = attention(q, k, v, queries, keys, attrs);
        await expectSame("y", made, attention(q, numbers(k), numbers(v), queries, keys, attrs));
      }
    });

    test.each(cases.slice(2))("its gradients: B $B, T $T, S $S, Hkv $Hkv, G $G, d $d", async (sizes) => {
      const { q, k, v, queries, keys, dy, attrs } = drawn(backend, sizes, stored, 0);
      const y = attention(q, k, v, queries, keys, attrs);
      const wants = [true, true, true] as const;
      const { result, lines } = trace(() => attentionGrad(q, k, v, queries, keys, y, dy, attrs, wants));
      expect(lines.map(({ op, means }) => `${op} ${means}`)).toEqual(["attentionGrad native"]);
      const right = attentionGrad(q, numbers(k), numbers(v), queries, keys, y, dy, attrs, wants);
      for (const [i, name] of ["dq", "dk", "dv"].entries()) await expectSame(name, result[i]!, right[i]!);
    });
  });
});
