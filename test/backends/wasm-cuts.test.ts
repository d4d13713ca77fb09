// The wasm primitives at sizes where their work is cut into tiles and parts, which the drawn calls of the suite are too small for: the same
// numbers as on the CPU backend, and the same bits on any number of threads.
import {
  add,
  arange,
  cast,
  div,
  dequantize,
  equal,
  fill,
  gatherRows,
  max,
  min,
  mul,
  permute,
  quantize,
  randn,
  Random,
  scan,
  scatterRows,
  select,
  shiftRight,
  slice,
  sum,
  tensor,
  topK,
  writeSlice,
  zeros,
  type Backend,
  type Elements,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { schemes } from "qwen-blocks/quant";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, expect, test } from "vitest";

const backends = [await cpu(), await wasm({ threads: 1 }), await wasm({ threads: 3 })];
afterAll(async () => {
  for (const backend of backends) await backend[Symbol.asyncDispose]();
});

/** Integers of small size as f32: sums of them are exact in any order. */
const whole = (backend: Backend, shape: readonly number[], seed = 1): Tensor => {
  const random = new Random(seed);
  const size = shape.reduce((product, extent) => product * extent, 1);
  return tensor(
    backend,
    Float32Array.from({ length: size }, () => random.integer(201) - 100),
    shape,
  );
};
const indices = (backend: Backend, count: number, rows: number): Tensor => {
  const random = new Random(7);
  return tensor(
    backend,
    Int32Array.from({ length: count }, () => random.integer(rows + 2) - 1),
  );
};
const random = (backend: Backend, ...shape: number[]): Tensor => randn(backend, shape, new Random(3));
function into(target: Tensor, write: (target: Tensor) => void): Tensor {
  write(target);
  return target;
}

const cases: Record<string, (b: Backend) => Tensor | readonly Tensor[]> = {
  "fill, constant and ramp": (b) => [fill(b, [3, 70001], 2.5), fill(b, [7, 30011], 1, { step: 3, dtype: "i32" })],
  "binary, equal shapes": (b) => add(random(b, 5, 40003), random(b, 5, 40003)),
  "binary, a number": (b) => mul(random(b, 100003), 3),
  "binary, a row and a column": (b) => [
    div(random(b, 300, 257), random(b, 257)),
    add(random(b, 300, 257), random(b, 300, 1)),
  ],
  "binary, in the middle": (b) => mul(random(b, 9, 40, 129), random(b, 9, 1, 129)),
  "binary, integers": (b) => [
    shiftRight(arange(b, 50001), 3),
    div(arange(b, 50001), 7),
    equal(arange(b, 50001), arange(b, 50001)),
  ],
  cast: (b) => cast(mul(random(b, 50001), 100), "i32"),
  select: (b) => select(cast(max(whole(b, [211, 1]), []), "u32"), random(b, 211, 301), random(b, 301)),
  "permute, blocks": (b) => [permute(random(b, 301, 517), [1, 0]), permute(random(b, 5, 130, 67), [2, 0, 1])],
  "permute, runs": (b) => permute(random(b, 3, 50, 16, 64), [0, 2, 1, 3]),
  "permute, narrow": (b) => [permute(random(b, 3, 20001), [1, 0]), permute(random(b, 20001, 3), [1, 0])],
  slice: (b) => [slice(random(b, 301, 401), [3, 5], [290, 333]), slice(random(b, 20001, 3), [1, 1], [20000, 1])],
  writeSlice: (b) => into(zeros(b, [301, 401]), (to) => writeSlice(random(b, 290, 333), to, [3, 5])),
  gatherRows: (b) => [
    gatherRows(random(b, 50, 1001), indices(b, 300, 50)),
    gatherRows(random(b, 5, 40001), indices(b, 4, 5)),
  ],
  "gatherRows, packed": (b) => gatherRows(quantize(random(b, 40, 3, 300), schemes.q8_0), indices(b, 500, 40)),
  "scatterRows, set": (b) =>
    into(zeros(b, [50, 1001]), (to) => scatterRows(random(b, 300, 1001), indices(b, 300, 50), to, "set")),
  "scatterRows, add": (b) =>
    into(zeros(b, [50, 1001]), (to) => scatterRows(random(b, 300, 1001), indices(b, 300, 50), to, "add")),
  "reduce, one long line": (b) => [sum(whole(b, [16384 * 3 + 5])), max(random(b, 70001)), min(random(b, 70001))],
  "reduce, lines": (b) => [sum(whole(b, [300, 1003]), [1]), max(random(b, 300, 1003), [1])],
  "reduce, many rows": (b) => [sum(whole(b, [20003, 37]), [0]), min(random(b, 20003, 37), [0])],
  "reduce, many columns": (b) => [sum(whole(b, [37, 20003]), [0]), max(random(b, 37, 20003), [0])],
  "reduce, several axes": (b) => {
    const x = whole(b, [5, 300, 7, 20]);
    return [sum(x, [0, 2]), sum(x, [1, 3]), max(x, [0, 2]), sum(cast(x, "i32"), [1, 3]), sum(x), min(x)];
  },
  "scan, one long line": (b) => [scan(whole(b, [50003]), 0), scan(whole(b, [2, 40001]), 1, { exclusive: true })],
  "scan, columns": (b) => [scan(whole(b, [90, 1301]), 0), scan(whole(b, [3, 90, 701]), 1, { exclusive: true })],
  topK: (b) => [8, 64, 65, 300, 5003].flatMap((k) => Object.values(topK(random(b, 5, 5003), k))),
  "topK, ties": (b) => [8, 100, 5003].flatMap((k) => Object.values(topK(whole(b, [3, 5003]), k))),
  quantize: (b) => {
    const packed = quantize(random(b, 9, 5003), schemes.q8_0);
    return [...packed.parts, dequantize(packed)];
  },
  "bits as they are": (b) => {
    const words = Uint32Array.from({ length: 269 * 260 }, (_, i) => 0x7f800001 + i * 61);
    const x = tensor(b, new Float32Array(words.buffer), [269, 260]);
    return permute(x, [1, 0]);
  },
};

/** The first element whose bits differ, by its values and its bits. */
function expectBits(name: string, [here, a]: [string, Elements], [there, b]: [string, Elements]): void {
  expect(a.length, `${name}: elements on ${here}, on ${there}`).toBe(b.length);
  const [x, y] = [a, b].map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
  const at = x.findIndex((word, j) => word !== y[j]);
  const shown = (values: Elements, words: Uint32Array): string => `${values[at]} (0x${words[at]?.toString(16)})`;
  expect(at === -1 ? "" : `${name}: [${at}] is ${shown(a, x)} on ${here}, ${shown(b, y)} on ${there}`).toBe("");
}

for (const [name, run] of Object.entries(cases)) {
  test(name, async () => {
    const [ours, one, three] = await Promise.all(
      backends.map(async (backend) => {
        const made = run(backend);
        return Promise.all((Array.isArray(made) ? made : [made]).map((y: Tensor) => y.data()));
      }),
    );
    for (let i = 0; i < ours.length; i++) {
      expectBits(`${name}, output ${i}`, ["1 thread", one[i]], ["3 threads", three[i]]);
      expectBits(`${name}, output ${i}`, ["wasm", one[i]], ["cpu", ours[i]]);
    }
  });
}
