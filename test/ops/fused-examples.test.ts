// Worked examples of the fused ops, by hand, each with the kernel and with the composite; and the corners that drawn inputs do not reach.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { valueAndGrad } from "../../src/autograd/value-and-grad.js";
import type { AttentionAttrs, Backend, Kernels } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import type { Shape } from "../../src/core/shape.js";
import { adamW } from "../../src/ops/adam-w.js";
import { addRmsNorm } from "../../src/ops/add-rms-norm.js";
import { appendKV } from "../../src/ops/append-kv.js";
import { attentionGrad } from "../../src/ops/attention-grad.js";
import { attention } from "../../src/ops/attention.js";
import { mul } from "../../src/ops/binary.js";
import { crossEntropyGrad } from "../../src/ops/cross-entropy-grad.js";
import { crossEntropy } from "../../src/ops/cross-entropy.js";
import { dequantize } from "../../src/ops/dequantize.js";
import { expertLinear } from "../../src/ops/expert-linear.js";
import { expertMlp } from "../../src/ops/expert-mlp.js";
import { groupByExpert } from "../../src/ops/group-by-expert.js";
import { linearGrad } from "../../src/ops/linear-grad.js";
import { linear } from "../../src/ops/linear.js";
import { qkNormRope } from "../../src/ops/qk-norm-rope.js";
import { quantize } from "../../src/ops/quantize.js";
import { sum } from "../../src/ops/reduce.js";
import { repack } from "../../src/ops/repack.js";
import { reshape } from "../../src/ops/reshape.js";
import { rope } from "../../src/ops/rope.js";
import { route } from "../../src/ops/route.js";
import { softmax } from "../../src/ops/softmax.js";
import { swiglu } from "../../src/ops/swiglu.js";
import { f16 } from "../../src/quant/schemes/float.js";
import { q8_0 } from "../../src/quant/schemes/q8.js";
import { randn, tensor } from "../../src/tensor/create.js";
import { PackedTensor } from "../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { trace } from "../../src/tensor/trace.js";
import { Random } from "../../src/core/random.js";

const fused =
  /^(linear|addRms|rmsNorm|softmax|swiglu|rope|qkNorm|append|attention|route|group|expert|combine|cross|repack|adam)/;
const native = await cpu();
const composed: Backend = {
  ...native,
  kernels: Object.fromEntries(
    Object.entries(native.kernels).filter(([name]) => !fused.test(name)),
  ) as unknown as Kernels,
};
afterAll(() => native[Symbol.asyncDispose]());

describe.each([["kernel", native] as const, ["composite", composed] as const])("%s", (means, backend) => {
  const f = (shape: Shape, ...data: number[]): Tensor => tensor(backend, data, shape);
  const i = (shape: Shape, ...data: number[]): Tensor => tensor(backend, data, shape, "i32");
  const numbers = async (x: Tensor): Promise<number[]> => Array.from(await x.data(), (y) => +y.toFixed(5));

  beforeAll(() => {
    const { counts } = trace(() => softmax(f([1], 1)));
    expect(counts.softmax).toMatchObject(means === "kernel" ? { native: 1 } : { composed: 1 });
  });

  test("linear", async () => {
    const y = linear(f([2, 2], 1, 2, 3, 4), f([3, 2], 1, 0, 0, 1, 1, 1), f([3], 10, 20, 30));
    expect(await numbers(y)).toEqual([11, 22, 33, 13, 24, 37]);
  });

  test("linear with q8 activations rounds each row to 127 steps", async () => {
    // The scale is 1/127 as f16; 0.5 is 63.5 steps, rounded away from zero to 64.
    const scale = 0.007873535;
    const y = linear(f([1, 2], 1, 0.5), f([2, 2], 1, 0, 0, 1), undefined, { activations: "q8" });
    expect(await numbers(y)).toEqual([+(127 * scale).toFixed(5), +(64 * scale).toFixed(5)]);
  });

  test("the gradient of q8 activations is straight-through", async () => {
    const random = new Random(1);
    const [x, w, e] = [randn(backend, [3, 4], random), randn(backend, [2, 5, 4], random), i([3, 2], 0, 1, 1, -1, 0, 0)];
    const gradient = (activations: "f32" | "q8"): Promise<number[][]> => {
      const loss = (): Tensor => reshape(sum(expertLinear(x, w, e, { activations }), [0, 1, 2]), []);
      const { grads } = valueAndGrad(new Map([["x", x], ["w", w]]), loss); // prettier-ignore
      return Promise.all([...grads.values()].map(numbers));
    };
    expect(await gradient("q8")).toEqual(await gradient("f32"));
  });

  test("addRmsNorm: sums beyond 65504, where half precision ends, are numbers like others", async () => {
    const residual = addRmsNorm(f([1, 2], 6e4, -9e4), f([1, 2], 6e4, -9e4), f([2], 1, 1), 1e-6);
    expect(await numbers(residual.sum)).toEqual([120_000, -180_000]);
    expect(await numbers(residual.y)).toEqual([0.78446, -1.1767]); // over the root of (12^2 + 18^2) / 2
  });

  test("softmax and swiglu", async () => {
    expect(await numbers(softmax(f([2, 2], 0, Math.log(3), 1000, 1000)))).toEqual([0.25, 0.75, 0.5, 0.5]);
    expect(await numbers(softmax(f([1, 3], -1e4, 0, -1e4)))).toEqual([0, 1, 0]);
    expect(await numbers(swiglu(f([1, 4], 0, Math.log(3), 5, 2)))).toEqual([0, +(1.5 * Math.log(3)).toFixed(5)]);
  });

  test("rope by a quarter turn, both layouts, and back", async () => {
    const [x, table] = [f([1, 1, 1, 5], 1, 2, 3, 4, 9), f([2, 4], 1, 1, 0, 0, 0, 0, 1, 1)];
    const row = i([1, 1], 1);
    expect(await numbers(rope(x, table, row))).toEqual([-3, -4, 1, 2, 9]);
    const turned = rope(x, table, row, { layout: "interleaved" });
    expect(await numbers(turned)).toEqual([-2, 1, -4, 3, 9]);
    expect(await numbers(rope(turned, table, row, { layout: "interleaved", inverse: true }))).toEqual([1, 2, 3, 4, 9]);
    expect(await numbers(rope(x, table, i([1, 1], -1)))).toEqual([0, 0, 0, 0, 9]);
  });

  test("qkNormRope normalises q and k alone", async () => {
    const qkv = f([1, 1, 8], 3, 4, 6, 8, 0, 2, 7, 9);
    const { q, k, v } = qkNormRope(qkv, f([2], 1, 1), undefined, f([1, 2], 1, 0), i([1, 1], 0), {
      numHeads: 2,
      numKvHeads: 1,
      eps: 0,
    });
    const unit = [3, 4].map((a) => +(a / Math.sqrt(12.5)).toFixed(5));
    expect(await numbers(q)).toEqual([...unit, ...unit]);
    expect(await numbers(k)).toEqual([0, 2]);
    expect(await numbers(v)).toEqual([7, 9]);
  });

  test("appendKV: the last of equal slots stays, others keep their bits, packed pools are encoded", async () => {
    const k = f([1, 3, 1, 2], 1, 2, 3, 4, 5, 6);
    const [kPool, vPool] = [f([3, 1, 2], 9, 9, 9, 9, 9, 9), quantize(f([3, 1, 2], 9, 9, 9, 9, 9, 9), f16)];
    appendKV(k, k, i([1, 3], 2, 0, 2), kPool, vPool);
    for (const pool of [kPool, dequantize(vPool)]) expect(await numbers(pool)).toEqual([3, 4, 9, 9, 5, 6]);
    appendKV(k, k, i([1, 3], -1, 3, -100), kPool, vPool);
    for (const pool of [kPool, dequantize(vPool)]) expect(await numbers(pool)).toEqual([3, 4, 9, 9, 5, 6]);
  });

  // Scores are all 0, so y is the mean of the visible values, which tell their rows apart.
  const seen = async (
    attrs: Partial<AttentionAttrs>,
    queries: readonly (readonly [position: number, segment: number])[],
    keys: readonly (readonly [position: number, segment: number])[],
  ): Promise<string[]> => {
    const [T, S] = [queries.length, keys.length];
    const values = f([S, 1, S], ...keys.flatMap((_, s) => keys.map((_, at) => (at === s ? 1 : 0))));
    const zero = (shape: Shape): Tensor => tensor(backend, new Float32Array(shape.reduce((a, b) => a * b)), shape);
    const y = attention(
      zero([1, T, 1, S]),
      zero([S, 1, S]),
      values,
      i([1, T, 4], ...queries.flatMap(([position, segment]) => [position, segment, 0, S])),
      i([1, S, 3], ...keys.flatMap(([position, segment], s) => [position, segment, s])),
      { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0, ...attrs },
    );
    const flat = await numbers(y);
    return queries.map((_, t) => keys.map((_, s) => (flat[t * S + s] > 0 ? "x" : ".")).join(""));
  };
  const at = (positions: readonly number[], segment = 0): [number, number][] => positions.map((p) => [p, segment]);

  test.each<[string, Partial<AttentionAttrs>, [number, number][], [number, number][], string[]]>([
    ["causal", {}, at([0, 1, 2]), at([0, 1, 2]), ["x..", "xx.", "xxx"]],
    ["bidirectional", { causal: false }, at([0, 2]), at([0, 1, 2]), ["xxx", "xxx"]],
    ["padding sees nothing and is not seen", {}, at([-1, 1]), at([-1, 0, 1]), ["...", ".xx"]],
    ["a causal window of 2 tokens", { window: 2 }, at([0, 3]), at([0, 1, 2, 3]), ["x...", "..xx"]],
    ["a window of 1 to both sides", { causal: false, window: 1 }, at([2]), at([0, 1, 2, 3, 4]), [".xxx."]],
    ["sinks stay visible", { window: 1, sinks: 2 }, at([3]), at([0, 1, 2, 3]), ["xx.x"]],
    ["segments", {}, [...at([1]), ...at([1], 1)], [...at([0, 1]), ...at([0, 1], 1)], ["xx..", "..xx"]],
    ["a global key", { window: 1 }, at([0, 3]), [[0, 0], [1, ~0], [2, 0], [3, 0]], ["x...", ".x.x"]], // prettier-ignore
    ["a global query", { window: 1 }, [[2, ~0], [2, 0]], at([0, 1, 2, 3]), ["xxx.", "..x."]], // prettier-ignore
    ["a global key of another segment", { window: 1 }, at([1]), [[0, ~1], [1, 0]], [".x"]], // prettier-ignore
  ])("attention: %s", async (_, attrs, queries, keys, expected) => {
    expect(await seen(attrs, queries, keys)).toEqual(expected);
  });

  test("attention: two keys weighed by hand, with a cap, and heads that share them", async () => {
    const [q, k, v] = [f([1, 1, 2, 1], 1, -1), f([2, 1, 1], 0, Math.log(3)), f([2, 1, 1], 4, 8)];
    const tables = [i([1, 1, 4], 1, 0, 0, 2), i([1, 2, 3], 0, 0, 0, 1, 0, 1)] as const;
    const attrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };
    expect(await numbers(attention(q, k, v, ...tables, attrs))).toEqual([7, 5]);
    const capped = 1 / (1 + Math.exp(-2 * Math.tanh(Math.log(3) / 2)));
    const y = attention(q, k, v, ...tables, { ...attrs, softcap: 2 });
    expect(await numbers(y)).toEqual([4 + 4 * capped, 8 - 4 * capped].map((x) => +x.toFixed(5)));
  });

  test("attention: hidden slots may hold anything, and a row without keys has value and gradient 0", async () => {
    const [q, pool] = [f([1, 2, 1, 1], 1, 1), f([2, 1, 1], NaN, 5)];
    const tables = [i([1, 2, 4], 0, 0, 0, 2, -1, 0, 0, 2), i([1, 2, 3], -1, 0, 0, 0, 0, 1)] as const;
    const attrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };
    const y = attention(q, pool, pool, ...tables, attrs);
    expect(await numbers(y)).toEqual([5, 0]);
    const grads = attentionGrad(q, pool, pool, ...tables, y, f([1, 2, 1, 1], 1, 1), attrs, [true, true, true]);
    expect(await Promise.all(grads.map((g) => numbers(g as Tensor)))).toEqual([
      [0, 0],
      [0, 0],
      [0, 1],
    ]);
  });

  test("route: order, ties, bias, weights", async () => {
    const logits = f([1, 4], 0, Math.log(3), 0, Math.log(4)); // softmax: 1/9, 3/9, 1/9, 4/9
    const pick = async (bias: Tensor | undefined, options: Parameters<typeof route>[2]): Promise<number[][]> => {
      const { weights, experts } = route(logits, bias, options);
      return [await numbers(experts), await numbers(weights)];
    };
    const ninths = (...of: number[]): number[] => of.map((x) => +(x / 9).toFixed(5));
    const [score, normalize] = ["softmax" as const, false];
    expect(await pick(undefined, { k: 3, score, normalize })).toEqual([[3, 1, 0], ninths(4, 3, 1)]);
    expect(await pick(undefined, { k: 2, score, normalize: true, scale: 7 })).toEqual([[3, 1], [4, 3]]); // prettier-ignore
    expect(await pick(f([4], 0, 0, 1, 0), { k: 2, score, normalize })).toEqual([[2, 3], ninths(1, 4)]); // prettier-ignore
    expect(await pick(undefined, { k: 2, score: "sigmoid", normalize })).toEqual([[3, 1], [0.8, 0.75]]); // prettier-ignore
    expect(await pick(undefined, { k: 2, score: "uniform", normalize: true })).toEqual([[3, 1], [0.5, 0.5]]); // prettier-ignore
    // Saturated scores are equal, the logits that decide are not.
    const { experts } = route(f([1, 3], 40, 50, 45), undefined, { k: 3, score: "sigmoid", normalize });
    expect(await numbers(experts)).toEqual([1, 2, 0]);
  });

  test("groupByExpert", async () => {
    const { counts, rank } = groupByExpert(i([2, 4], 1, 0, 1, -1, 2, 2, 5, 2), 3);
    expect(await numbers(counts)).toEqual([1, 2, 0, 0, 0, 3]);
    expect(await numbers(rank)).toEqual([0, 0, 1, -1, 0, 1, -1, 2]);
  });

  test("expertLinear and expertMlp leave empty slots at 0", async () => {
    const weight = f([2, 1, 2], 1, 1, 10, 10);
    expect(await numbers(expertLinear(f([2, 2], 1, 2, 3, 4), weight, i([2, 2], 0, 1, -1, 0)))).toEqual([3, 30, 0, 7]);
    expect(await numbers(expertLinear(f([1, 2, 2], 1, 2, 3, 4), weight, i([1, 2], 1, 0)))).toEqual([30, 7]);
    const [gateUp, down] = [f([1, 2, 1], Math.log(3), 1), f([1, 1, 1], 2)];
    const y = expertMlp(f([2, 1], 1, 1), gateUp, down, i([2, 2], 0, -1, -1, -1), f([2, 2], 0.5, 7, 7, 7));
    expect(await numbers(y)).toEqual([+(0.75 * Math.log(3)).toFixed(5), 0]);
  });

  test("expertMlp with q8 activations rounds before both products", async () => {
    const [x, gateUp] = [f([1, 2], 1, 0.3), f([1, 4, 2], 1, 2, 3, -1, 1, 1, 2, 1)];
    const [identity, experts, weights] = [f([1, 2, 2], 1, 0, 0, 1), i([1, 1], 0), f([1, 1], 1)];
    const hidden = swiglu(linear(x, reshape(gateUp, [4, 2]), undefined, { activations: "q8" }));
    const rounded = await numbers(dequantize(quantize(hidden, q8_0)));
    expect(await numbers(expertMlp(x, gateUp, identity, experts, weights, { activations: "q8" }))).toEqual(rounded);
    expect(rounded).not.toEqual(await numbers(hidden));
  });

  test("crossEntropy counts rows with a target alone", async () => {
    const [logits, targets] = [f([3, 2], 0, Math.log(3), 5, 5, 1, 2), i([3], 1, 0, -100)];
    expect(await numbers(crossEntropy(logits, targets))).toEqual(
      [Math.log(4 / 3), Math.log(2), 0].map((x) => +x.toFixed(5)),
    );
    const dLogits = crossEntropyGrad(logits, targets, f([3], 4, 2, 9));
    expect(await numbers(dLogits)).toEqual([1, -1, -1, 1, 0, 0]);
  });

  test("adamW: one step by hand", async () => {
    const [param, mean, variance] = [f([1], 2), f([1], 1), f([1], 4)];
    // g = 4 * 0.5 = 2; m = 0.5 + 1 = 1.5; v = 3 + 1 = 4; step = (1.5 / 0.5) / (sqrt(4 / 0.25) + 1) = 0.6
    adamW(f([1], 4), f([4], 0.1, 0.5, 0.25, 0.5), param, mean, variance, {
      beta1: 0.5,
      beta2: 0.75,
      eps: 1,
      decay: 0.2,
    });
    expect(await numbers(mean)).toEqual([1.5]);
    expect(await numbers(variance)).toEqual([4]);
    expect(await numbers(param)).toEqual([1.9]);
  });

  test("gradients that nobody asked for are not made", async () => {
    const made = linearGrad(f([1, 2], 1, 2), f([1, 2], 3, 4), f([1, 1], 1), [false, true, false]);
    expect(made.map((x) => x?.shape)).toEqual([undefined, [1, 2], undefined]);
  });

  test("repack to the layout it has", async () => {
    const x = quantize(f([1, 2], 1, 0.5), q8_0);
    const y = repack(x, "plain");
    expect([y.layout, y.shape, y.scheme.name]).toEqual(["plain", [1, 2], "q8_0"]);
    const before = await numbers(dequantize(x));
    x.dispose();
    expect(await numbers(dequantize(y))).toEqual(before);
  });

  test("operands of a scheme that the backend does not list are decoded first", async () => {
    const narrow: Backend = { ...backend, features: { ...backend.features, schemes: { q8_0: "plain" } } };
    const stored = quantize(f([2, 2], 1, 2, 3, 4), f16);
    const weight = new PackedTensor(f16, [2, 2], "plain", stored.parts.map((p) => p.window(p.shape, p.dtype, 0))); // prettier-ignore
    const y = linear(tensor(narrow, [1, 1], [1, 2]), weight);
    expect(await numbers(y)).toEqual([3, 7]);
  });

  test("the composite of E experts holds a few products at a time, not E of them", () => {
    if (means === "kernel") return;
    const [R, k, out] = [64, 2, 64];
    const peakOf = (E: number): number => {
      let peak = 0;
      const memory = Object.assign(Object.create(native.memory) as typeof native.memory, {
        alloc: (bytes: number) => {
          const storage = native.memory.alloc(bytes);
          peak = Math.max(peak, native.memory.usage().bytes);
          return storage;
        },
        free: (storage: never) => native.memory.free(storage),
        write: native.memory.write.bind(native.memory),
        read: native.memory.read.bind(native.memory),
        usage: () => native.memory.usage(),
      });
      const watched: Backend = { ...composed, memory };
      const [x, w] = [randn(watched, [R, 1], new Random(1)), randn(watched, [E, out, 1], new Random(2))];
      const experts = tensor(watched, new Int32Array(R * k), [R, k]);
      const before = native.memory.usage().bytes;
      mul(expertLinear(x, w, experts), 1);
      return peak - before;
    };
    expect(peakOf(16)).toBeLessThan(peakOf(4) * 1.5);
    expect(peakOf(16)).toBeLessThan(8 * R * k * out * 4);
  });
});
