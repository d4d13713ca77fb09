// The wasm backend's attention and its gradient against the CPU backend, where the exported suite does not reach: several blocks and chunks of
// keys, many tiles, and one thread against two.
import { cpu } from "qwen-blocks/cpu";
import { wasm } from "qwen-blocks/wasm";
import { attention, attentionGrad, Random, tensor, type Backend } from "qwen-blocks";
import { afterAll, expect, test } from "vitest";
import { tables } from "../../src/testing/visibility.js";

const specification = await cpu();
const backends = [await wasm({ threads: 1 }), await wasm({ threads: 2 })];
afterAll(() => Promise.all([specification, ...backends].map((backend) => backend[Symbol.asyncDispose]())));

const plain = { causal: true, window: 0, sinks: 0, softcap: 0 };
const cases = [
  { B: 1, T: 1, S: 700, N: 700, Hkv: 2, G: 8, d: 33, ...plain },
  { B: 2, T: 1, S: 300, N: 50, Hkv: 2, G: 3, d: 16, ...plain, softcap: 5 },
  { B: 1, T: 2, S: 400, N: 400, Hkv: 1, G: 1, d: 7, ...plain, causal: false, window: 100 },
  { B: 2, T: 70, S: 200, N: 400, Hkv: 2, G: 2, d: 20, ...plain, window: 30, sinks: 4 },
  { B: 1, T: 40, S: 150, N: 150, Hkv: 1, G: 70, d: 4, ...plain },
];

for (const segments of [0, 2]) {
  for (const { B, T, S, N, Hkv, G, d, ...rest } of cases) {
    const attrs = { ...rest, scale: 1 / Math.sqrt(d) };
    test(`B ${B}, T ${T}, S ${S}, N ${N}, Hkv ${Hkv}, G ${G}, d ${d}, segments ${segments}`, async () => {
      const random = new Random(segments + S);
      const { queries, keys } = tables(random, [B, T, S, N], attrs, segments);
      const numbers = [N * Hkv * d, N * Hkv * d, B * T * Hkv * G * d, B * T * Hkv * G * d].map((length) =>
        Float32Array.from({ length }, () => random.normal()),
      );
      const run = async (backend: Backend): Promise<readonly Float32Array[]> => {
        const [k, v] = numbers.slice(0, 2).map((x) => tensor(backend, x, [N, Hkv, d]));
        const [q, dy] = numbers.slice(2).map((x) => tensor(backend, x, [B, T, Hkv * G, d]));
        const [asks, shows] = [queries, keys].map(({ data, shape }) => tensor(backend, data as Int32Array, shape));
        const y = attention(q, k, v, asks, shows, attrs);
        const gradients = attentionGrad(q, k, v, asks, shows, y, dy, attrs, [true, true, true]);
        return Promise.all([y, ...gradients].map((x) => x!.data() as Promise<Float32Array>));
      };
      const [one, two, expected] = [await run(backends[0]), await run(backends[1]), await run(specification)];
      ["y", "dq", "dk", "dv"].forEach((name, i) => {
        const [ours, theirs, right] = [one[i], two[i], expected[i]];
        expect([ours.length, theirs.length], `${name}: elements`).toEqual([right.length, right.length]);
        const apart = ours.findIndex((x, j) => !Object.is(x, theirs[j]));
        expect(apart === -1 ? "" : `${name}[${apart}] is ${ours[apart]} on 1 thread, ${theirs[apart]} on 2`).toBe("");
        const most = 1e-5 * right.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
        const wrong = ours.findIndex((x, j) => !(Math.abs(x - right[j]) <= most));
        const words = `${name}[${wrong}] is ${ours[wrong]} on wasm, ${right[wrong]} on cpu, and may be off by ${most}`;
        expect(wrong === -1 ? "" : words).toBe("");
      });
    });
  }
}

test("sinks are seen from afar, over blocks of keys that nobody sees", async () => {
  const [S, d] = [300, 8];
  const random = new Random(5);
  const [q, k, v] = [1, S, S].map((rows) => Float32Array.from({ length: rows * d }, () => random.normal()));
  const shows = Int32Array.from({ length: 3 * S }, (_, i) => (i % 3 === 1 ? 0 : Math.floor(i / 3)));
  const run = (backend: Backend): Promise<unknown> => {
    const [pool, values] = [k, v].map((x) => tensor(backend, x, [S, 1, d]));
    const one = tensor(backend, q, [1, 1, 1, d]);
    const asks = tensor(backend, Int32Array.of(S - 1, 0, 0, S), [1, 1, 4]);
    const attrs = { ...plain, scale: 1, window: 50, sinks: 2 };
    return attention(one, pool, values, asks, tensor(backend, shows, [1, S, 3]), attrs).data();
  };
  const [ours, right] = [(await run(backends[0])) as Float32Array, (await run(specification)) as Float32Array];
  const most = 1e-5 * right.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  ours.forEach((x, i) => expect(Math.abs(x - right[i]), `element ${i}`).toBeLessThanOrEqual(most));
});
