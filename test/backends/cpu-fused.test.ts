// The CPU backend's fused kernels and gradients on examples worked by hand: each pins a convention of the contract.
import { afterAll, describe, expect, test } from "vitest";
import { DECLINED } from "../../src/backends/backend.js";
import type { PackedView, View } from "../../src/core/view.js";
import { backend, call, close, i32, packed, read, run, view } from "./cpu-views.js";

afterAll(() => backend[Symbol.asyncDispose]());

const f32 = { activations: "f32" } as const;
const q8 = { activations: "q8" } as const;
const silu = (x: number): number => x / (1 + Math.exp(-x));

describe("products", () => {
  const x = view([2, 2], [1, 2, 3, 4]);
  const weight = view([3, 2], [1, 0, 0, 1, 1, -1]);

  test("linear, with and without a bias", async () => {
    expect(await run("linear", [x, weight, undefined], [view([2, 3])], f32)).toEqual([[1, 2, -1, 3, 4, -1]]);
    const bias = view([3], [10, 20, 30]);
    expect(await run("linear", [x, weight, bias], [view([2, 3])], f32)).toEqual([[11, 22, 29, 13, 24, 29]]);
  });

  test("q8 rounds the rows of x first", async () => {
    const odd = view([1, 2], [127, 1.5]);
    expect(await run("linear", [odd, weight, undefined], [view([1, 3])], q8)).toEqual([[127, 2, 125]]);
  });

  test("packed weights are decoded in panels", async () => {
    const rows = Array.from({ length: 130 }, (_, i) => [i, 1]).flat();
    const [y] = await run("linear", [x, packed("f16", [130, 2], rows), undefined], [view([2, 130])], f32);
    expect([y[0], y[63], y[64], y[129], y[130 + 129]]).toEqual([2, 65, 66, 131, 3 * 129 + 4]);
  });

  test("linearGrad, and only what is wanted", async () => {
    const dy = view([2, 3], [1, 0, 2, 0, 1, 0]);
    const outputs: [View, View, View] = [view([2, 2]), view([3, 2]), view([3])];
    expect(await run("linearGrad", [x, weight, dy], outputs, {})).toEqual([
      [3, -2, 0, 1],
      [1, 2, 3, 4, 2, 4],
      [1, 1, 2],
    ]);
    expect(await run("linearGrad", [x, weight, dy], [undefined, undefined, view([3])], {})).toEqual([
      [],
      [],
      [1, 1, 2],
    ]);
  });
});

describe("rows", () => {
  test("rmsNorm, addRmsNorm and the gradient", async () => {
    const weight = view([2], [1, 2]);
    const scale = 1 / Math.sqrt(12.5);
    close((await run("rmsNorm", [view([1, 2], [3, 4]), weight], [view([1, 2])], { eps: 0 }))[0], [
      3 * scale,
      8 * scale,
    ]);
    const [sum, y] = await run(
      "addRmsNorm",
      [view([1, 2], [1, 1]), view([1, 2], [2, 3]), weight],
      [view([1, 2]), view([1, 2])],
      { eps: 0 },
    );
    expect(sum).toEqual([3, 4]);
    close(y, [3 * scale, 8 * scale]);
    const inputs: [View, View, View] = [view([1, 2], [3, 4]), weight, view([1, 2], [1, 1])];
    const [dx, dWeight] = await run("rmsNormGrad", inputs, [view([1, 2]), view([2])], { eps: 0 });
    const pull = ((1 * 3 + 2 * 4) / 2) * scale ** 2;
    close(dx, [scale * (1 - 3 * pull), scale * (2 - 4 * pull)]);
    close(dWeight, [3 * scale, 4 * scale]);
  });

  test("softmax does not overflow", async () => {
    close(
      (await run("softmax", [view([2, 2], [1000, 1000, 0, Math.log(3)])], [view([2, 2])], {}))[0],
      [0.5, 0.5, 0.25, 0.75],
    );
  });

  test("swiglu takes gate first, then up", async () => {
    const gateUp = view([1, 4], [1, -2, 3, 5]);
    close((await run("swiglu", [gateUp], [view([1, 2])], {}))[0], [silu(1) * 3, silu(-2) * 5]);
    const [d] = await run("swigluGrad", [gateUp, view([1, 2], [1, 1])], [view([1, 4])], {});
    const slope = (g: number): number => (silu(g + 1e-5) - silu(g - 1e-5)) / 2e-5;
    close(d, [slope(1) * 3, slope(-2) * 5, silu(1), silu(-2)]);
  });

  test("crossEntropy: a target of -100, or no target at all, costs nothing", async () => {
    const logits = view([3, 2], [0, 0, 0, Math.log(3), 5, 1]);
    const targets = i32([3], [1, 1, -100]);
    close((await run("crossEntropy", [logits, targets], [view([3])], {}))[0], [Math.log(2), Math.log(4 / 3), 0]);
    const [d] = await run("crossEntropyGrad", [logits, targets, view([3], [1, 2, 3])], [view([3, 2])], {});
    close(d, [0.5, -0.5, 0.5, -0.5, 0, 0]);
  });

  test("adamW: decay is decoupled, hyper holds the step's numbers", async () => {
    const hyper = view([4], [0.1, 0.5, 0.25, 2]);
    const [param, mean, variance] = await run(
      "adamW",
      [view([1], [3]), hyper],
      [view([1], [10]), view([1], [1]), view([1], [4])],
      { beta1: 0.5, beta2: 0.75, eps: 1, decay: 0.01 },
    );
    expect([mean, variance]).toEqual([[3.5], [12]]);
    close(param, [10 - 0.1 * (0.01 * 10 + 7 / (Math.sqrt(48) + 1))]);
  });
});

describe("positions", () => {
  const table = view([2, 4], [1, 1, 0, 0, 0, 0.5, 1, 2]); // angle 0; then cosines 0, 0.5 and sines 1, 2

  test("rope turns pairs by layout, copies the rest, and `inverse` negates the sines", async () => {
    const x = view([1, 2, 1, 5], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    const rows = i32([1, 2], [0, 1]);
    const half = { layout: "half", inverse: false } as const;
    const turned = async (attrs: { layout: "half" | "interleaved"; inverse: boolean }): Promise<number[]> =>
      (await run("rope", [x, table, rows], [view([1, 2, 1, 5])], attrs))[0];
    expect(await turned(half)).toEqual([1, 2, 3, 4, 5, -3, -7, 1, 6, 5]);
    expect(await turned({ ...half, inverse: true })).toEqual([1, 2, 3, 4, 5, 3, 9, -1, -2, 5]);
    expect(await turned({ ...half, layout: "interleaved" })).toEqual([1, 2, 3, 4, 5, -2, 1, -6.5, 8, 5]);
  });

  test("qkNormRope splits, normalises where a weight is given, and turns", async () => {
    const qkv = view([1, 1, 8], [3, 4, 6, 8, 5, 6, 7, 8]);
    const flat = view([1, 2], [0, 1]); // cosine 0, sine 1: (p, q) becomes (-q, p)
    const attrs = { numHeads: 2, numKvHeads: 1, eps: 0, layout: "half" } as const;
    const outputs: [View, View, View] = [view([1, 1, 2, 2]), view([1, 1, 1, 2]), view([1, 1, 1, 2])];
    const scale = 1 / Math.sqrt(12.5);
    const inputs: [View, View, undefined, View, View] = [qkv, view([2], [1, 2]), undefined, flat, i32([1, 1], [0])];
    const [q, k, v] = await run("qkNormRope", inputs, outputs, attrs);
    close(q, [-8 * scale, 3 * scale, -8 * scale, 3 * scale]);
    expect([k, v]).toEqual([
      [-6, 5],
      [7, 8],
    ]);
  });

  test("appendKV encodes into packed pools and skips slots that do not exist", async () => {
    const k = view([1, 3, 1, 2], [1, 2, 3, 4, 5, 6]);
    const slots = i32([1, 3], [2, -1, 0]);
    const pools: [PackedView, View] = [
      packed("f16", [3, 1, 2], [9, 9, 9, 9, 9, 9]),
      view([3, 1, 2], [9, 9, 9, 9, 9, 9]),
    ];
    expect(await run("appendKV", [k, k, slots], pools, {})).toEqual([
      [5, 6, 9, 9, 1, 2],
      [5, 6, 9, 9, 1, 2],
    ]);
  });
});

describe("experts", () => {
  test("route: order by logits without a bias, by score + bias with one, which never enters the weights", async () => {
    const attrs = { k: 2, score: "softmax", normalize: false, scale: 1 } as const;
    const logits = view([1, 3], [0, Math.log(2), 0]);
    const outputs = (): [View, View] => [view([1, 2]), i32([1, 2])];
    const [weights, experts] = await run("route", [logits, undefined], outputs(), attrs);
    expect(experts).toEqual([1, 0]);
    close(weights, [0.5, 0.25]);
    const [biased, order] = await run("route", [logits, view([3], [0, 0, 1])], outputs(), {
      ...attrs,
      normalize: true,
      scale: 3,
    });
    expect(order).toEqual([2, 1]);
    close(biased, [1, 2]);
    const uniform = { ...attrs, score: "uniform", normalize: true } as const;
    expect((await run("route", [logits, undefined], outputs(), uniform))[0]).toEqual([0.5, 0.5]);
  });

  test("route: saturated scores make no ties, and NaN logits still give distinct experts", async () => {
    const attrs = { k: 3, score: "sigmoid", normalize: false, scale: 1 } as const;
    const [, experts] = await run(
      "route",
      [view([1, 3], [100, 300, 200]), undefined],
      [view([1, 3]), i32([1, 3])],
      attrs,
    );
    expect(experts).toEqual([1, 2, 0]);
    const nan = view([2, 3], [NaN, 1, NaN, NaN, NaN, NaN]);
    const bias = view([3], [0, 0, 0]);
    expect((await run("route", [nan, undefined], [view([2, 3]), i32([2, 3])], attrs))[1]).toEqual([1, 0, 2, 0, 1, 2]);
    expect((await run("route", [nan, bias], [view([2, 3]), i32([2, 3])], attrs))[1]).toEqual([1, 0, 2, 0, 1, 2]);
  });

  test("groupByExpert counts and ranks within each group", async () => {
    const experts = i32([2, 3], [1, 1, -1, 0, 2, 1]);
    expect(await run("groupByExpert", [experts], [i32([2, 2]), i32([2, 3])], { numExperts: 2 })).toEqual([
      [0, 2, 1, 1],
      [0, 1, -1, 0, -1, 0],
    ]);
  });

  const weight = view([3, 1, 2], [1, 0, 0, 1, 10, 10]);
  const experts = i32([2, 2], [0, 2, -1, 0]);

  test("expertLinear: a row for all slots or one for each; an empty slot gives 0", async () => {
    const shared = view([2, 2], [1, 2, 3, 4]);
    expect(await run("expertLinear", [shared, weight, experts], [view([2, 2, 1])], f32)).toEqual([[1, 30, 0, 3]]);
    const own = view([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await run("expertLinear", [own, weight, experts], [view([2, 2, 1])], f32)).toEqual([[1, 70, 0, 7]]);
  });

  test("expertLinearGrad: dx sums over shared slots, unused experts get 0", async () => {
    const x = view([2, 2], [1, 2, 3, 4]);
    const dy = view([2, 2, 1], [1, 2, 5, 3]);
    expect(await run("expertLinearGrad", [x, weight, experts, dy], [view([2, 2]), view([3, 1, 2])], {})).toEqual([
      [21, 20, 3, 0],
      [1 + 9, 2 + 12, 0, 0, 2, 4],
    ]);
    const half = packed("f16", [3, 1, 2], [1, 0, 0, 1, 10, 10]);
    const own = view([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect((await run("expertLinearGrad", [own, half, experts, dy], [view([2, 2, 2]), undefined], {}))[0]).toEqual([
      1, 0, 20, 20, 0, 0, 3, 0,
    ]);
  });

  test("expertMlp is expertLinear, swiglu, expertLinear and combineExperts, bit for bit", async () => {
    const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => Math.sin(1 + i * i));
    const x = view([2, 3], numbers(6));
    const gateUp = view([3, 4, 3], numbers(36));
    const down = view([3, 3, 2], numbers(18));
    const weights = view([2, 2], [0.5, 2, 3, 0.25]);
    for (const attrs of [f32, q8]) {
      const [both, inner, slots] = [view([2, 2, 4]), view([2, 2, 2]), view([2, 2, 3])];
      call("expertLinear", [x, gateUp, experts], [both], attrs);
      call("swiglu", [both], [inner], {});
      call("expertLinear", [inner, down, experts], [slots], attrs);
      const expected = await run("combineExperts", [slots, weights], [view([2, 3])], {});
      expect(await run("expertMlp", [x, gateUp, down, experts, weights], [view([2, 3])], attrs)).toEqual(expected);
    }
  });
});

test("repack knows the plain layout alone, and declines before it writes", async () => {
  const x = packed("q8_0", [1, 2], [127, -3]);
  expect(await run("repack", [x], [packed("q8_0", [1, 2])], { layout: "plain" })).toEqual([[127, -3]]);
  const y: PackedView = { ...packed("q8_0", [1, 2], [1, 1]), layout: "tiles" };
  const before = await Promise.all(y.parts.map(read));
  expect(backend.kernels.repack?.([x], [y], { layout: "tiles" })).toBe(DECLINED);
  expect(await Promise.all(y.parts.map(read))).toEqual(before);
});
