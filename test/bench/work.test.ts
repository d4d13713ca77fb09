// Flops and bytes of calls that a reader can count by hand, and of every call of a training step.
import { Qwen3, disposeAll, linear, observe, parameters, presets, randomWeights, tensor } from "qwen-blocks";
import type { AttentionAttrs, Command, DType, OpName, View } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { expect, test } from "vitest";
import { prepare } from "./phases.js";
import { visiblePairs, workOf, type Work } from "./work.js";

const view = (shape: readonly number[], dtype: DType = "f32"): View => ({
  storage: { byteLength: 4 * shape.reduce((size, n) => size * n, 1) },
  dtype,
  shape,
  offset: 0,
});

const work = (op: OpName, inputs: Command["inputs"], outputs: Command["outputs"], attrs: Command["attrs"] = {}): Work =>
  workOf({ op, inputs, outputs, attrs });

test("products: 2 m n k, every operand once", () => {
  const product = { flops: 2 * 3 * 5 * 7, bytes: 4 * (3 * 7 + 5 * 7 + 3 * 5) };
  expect(work("linear", [view([3, 7]), view([5, 7]), undefined], [view([3, 5])])).toEqual(product);
  const attrs = { transposeA: true, transposeB: false };
  expect(work("matmul", [view([7, 3]), view([7, 5])], [view([3, 5])], attrs)).toEqual(product);
});

test("a gradient that nobody asked for costs nothing", () => {
  const operands = [view([3, 7]), view([5, 7]), view([3, 5])];
  const both = work("linearGrad", operands, [view([3, 7]), view([5, 7]), undefined]);
  expect(both).toEqual({ flops: 4 * 3 * 5 * 7, bytes: 4 * (2 * 3 * 7 + 2 * 5 * 7 + 3 * 5) });
  const one = work("linearGrad", operands, [undefined, view([5, 7]), undefined]);
  expect(one).toEqual({ flops: 2 * 3 * 5 * 7, bytes: 4 * (3 * 7 + 5 * 7 + 3 * 5) });
});

test("of a packed matrix its parts count", () => {
  const packed = { scheme: "q8_0", shape: [4, 32], layout: "plain", parts: [view([4, 8]), view([4, 1])] };
  const { flops, bytes } = work("linear", [view([1, 32]), packed, undefined], [view([1, 4])]);
  expect({ flops, bytes }).toEqual({ flops: 2 * 4 * 32, bytes: 4 * (32 + 4 * 8 + 4 + 4) });
});

test("of a table only the rows asked for, each at most once", () => {
  const table = view([100, 8]);
  const gather = (rows: number): number => work("gatherRows", [table, view([rows], "i32")], [view([rows, 8])]).bytes;
  expect(gather(3)).toBe(4 * (3 * 8 + 3 + 3 * 8));
  expect(gather(200)).toBe(4 * (100 * 8 + 200 + 200 * 8));
});

test("experts by slots", () => {
  const [R, D, I, E, k] = [2, 8, 4, 16, 3];
  const inputs = [view([R, D]), view([E, 2 * I, D]), view([E, D, I]), view([R, k], "i32"), view([R, k])];
  const { flops, bytes } = work("expertMlp", inputs, [view([R, D])]);
  expect(flops).toBe(R * k * 6 * I * D);
  expect(bytes).toBe(4 * (2 * R * D + 2 * R * k + R * k * 3 * I * D));
});

test("writers touch what they write", () => {
  expect(work("writeSlice", [view([1, 8])], [view([100, 8])], { starts: [0, 0] }).bytes).toBe(2 * 4 * 8);
  expect(work("slice", [view([100, 8])], [view([1, 8])], { starts: [0, 0] }).bytes).toBe(2 * 4 * 8);
  const state = [view([6]), view([6]), view([6])];
  expect(work("adamW", [view([6]), view([4])], state).bytes).toBe(4 * (6 + 4 + 2 * 18));
});

const attention: AttentionAttrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };

test("visible pairs", () => {
  expect(visiblePairs([2, 4, 4], [2, 4, 3], attention)).toBe(2 * (1 + 2 + 3 + 4));
  expect(visiblePairs([1, 1, 4], [1, 9, 3], attention)).toBe(9);
  expect(visiblePairs([1, 4, 4], [1, 4, 3], { ...attention, causal: false })).toBe(16);
  expect(visiblePairs([1, 4, 4], [1, 4, 3], { ...attention, window: 2 })).toBe(1 + 2 + 2 + 2);
  expect(visiblePairs([1, 4, 4], [1, 4, 3], { ...attention, window: 2, sinks: 1 })).toBe(1 + 2 + 3 + 3);
});

test("attention: two products of q's heads, keys and values once", () => {
  const [S, H, kvHeads, d] = [9, 4, 2, 8];
  const pool = view([64, kvHeads, d]);
  const tables = [view([1, 1, 4], "i32"), view([1, S, 3], "i32")];
  const q = view([1, 1, H, d]);
  const { flops, bytes } = work("attention", [q, pool, pool, ...tables], [q], attention);
  expect(flops).toBe(2 * 2 * S * H * d);
  expect(bytes).toBe(4 * (2 * H * d + 4 + 3 * S + 2 * S * kvHeads * d));
});

test("an op without a rule of its own: every operand, no products", () => {
  expect(work("swiglu", [view([3, 8])], [view([3, 4])])).toEqual({ flops: 0, bytes: 4 * 36 });
});

test("observed commands of a training step fit the model", async () => {
  const commands: Command[] = [];
  await using backend = observe(await cpu(), { onCommand: (command) => commands.push(command) });
  const config = { ...presets.toy, numExperts: 8, numExpertsPerTok: 2 };
  const model = new Qwen3(randomWeights(backend, 1, config), config);
  using step = await prepare("training", model, { tokens: 8, batch: 1 });
  commands.length = 0;
  await step.run();
  const works = commands.map((command) => ({ op: command.op, ...workOf(command) }));
  expect(works.filter(({ bytes, flops }) => !(Number.isFinite(bytes) && bytes > 0 && flops >= 0))).toEqual([]);
  const numbers = [...parameters(model).values()].reduce(
    (total, { shape }) => total + shape.reduce((a, b) => a * b, 1),
    0,
  );
  const updates = works.filter(({ op }) => op === "adamW");
  expect(updates.reduce((total, { bytes }) => total + bytes, 0)).toBe(4 * (7 * numbers + 4 * updates.length));
  disposeAll(model);

  commands.length = 0;
  using x = tensor(backend, [1, 2, 3], [1, 3]);
  using w = tensor(backend, [1, 2, 3, 4, 5, 6], [2, 3]);
  using _ = linear(x, w);
  expect(commands.map(workOf)).toEqual([{ flops: 12, bytes: 4 * (3 + 6 + 2) }]);
});
