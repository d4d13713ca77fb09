// Loading: every number finds its place in every layout.
import { expect, test } from "vitest";
import { CheckpointError } from "../../src/core/errors.js";
import { encodeSafetensors } from "../../src/io/safetensors-writer.js";
import { bytesOf, countingFile } from "./file-building.js";
import { failure, load, names, upTo } from "./loading.js";

/** [E, 2 I, D] = [2, 4, 3] */
const experts = {
  "layers.0.mlp.experts.gateUpProj": [2, 4, 3],
  "layers.0.mlp.experts.downProj": [2, 3, 2],
};
test("joined rows, in weights and biases", async () => {
  const at = "model.layers.0.";
  const file = countingFile({
    [`${at}self_attn.v_proj.weight`]: [2, 3],
    [`${at}self_attn.k_proj.weight`]: [2, 3],
    [`${at}self_attn.q_proj.weight`]: [4, 3],
    [`${at}self_attn.q_proj.bias`]: [4],
    [`${at}self_attn.k_proj.bias`]: [2],
    [`${at}self_attn.v_proj.bias`]: [2],
    [`${at}mlp.up_proj.weight`]: [2, 3],
    [`${at}mlp.gate_proj.weight`]: [2, 3],
    "lm_head.weight": [1, 3],
  });
  const found = await load(
    file,
    {
      "layers.0.selfAttn.qkvProj.weight": [8, 3],
      "layers.0.selfAttn.qkvProj.bias": [8],
      "layers.0.mlp.gateUpProj.weight": [4, 3],
      "lmHead.weight": [1, 3],
    },
    { names },
  );
  expect(found).toEqual({
    "layers.0.selfAttn.qkvProj.weight": [...upTo(24, 12), ...upTo(12, 6), ...upTo(6)],
    "layers.0.selfAttn.qkvProj.bias": upTo(32, 24),
    "layers.0.mlp.gateUpProj.weight": [...upTo(44, 38), ...upTo(38, 32)],
    "lmHead.weight": upTo(47, 44),
  });
});

test("one matrix per expert", async () => {
  const at = "model.layers.0.mlp.experts.";
  const file = countingFile({
    [`${at}0.down_proj.weight`]: [3, 2],
    [`${at}0.gate_proj.weight`]: [2, 3],
    [`${at}0.up_proj.weight`]: [2, 3],
    [`${at}1.down_proj.weight`]: [3, 2],
    [`${at}1.gate_proj.weight`]: [2, 3],
    [`${at}1.up_proj.weight`]: [2, 3],
  });
  expect(await load(file, experts, { names })).toEqual({
    "layers.0.mlp.experts.gateUpProj": [...upTo(18, 6), ...upTo(36, 24)],
    "layers.0.mlp.experts.downProj": [...upTo(6), ...upTo(24, 18)],
  });
});

const fused = (gateUp: readonly number[], down: readonly number[]): Uint8Array =>
  countingFile({ "model.layers.0.mlp.experts.gate_up_proj": gateUp, "model.layers.0.mlp.experts.down_proj": down });
const swap = (start: number, [count, rows, columns]: readonly number[]): number[] =>
  upTo(count * rows * columns).map((i) => {
    const [matrix, row, column] = [Math.floor(i / rows / columns), Math.floor(i / columns) % rows, i % columns];
    return start + matrix * rows * columns + column * rows + row;
  });

test("one tensor for all experts, in either orientation", async () => {
  expect(await load(fused([2, 4, 3], [2, 3, 2]), experts, { names })).toEqual({
    "layers.0.mlp.experts.gateUpProj": upTo(24),
    "layers.0.mlp.experts.downProj": upTo(36, 24),
  });
  expect(await load(fused([2, 3, 4], [2, 2, 3]), experts, { names })).toEqual({
    "layers.0.mlp.experts.gateUpProj": swap(0, [2, 4, 3]),
    "layers.0.mlp.experts.downProj": swap(24, [2, 3, 2]),
  });
});

test("where 2 I = D the other tensor of the pair decides", async () => {
  const square = { "layers.0.mlp.experts.gateUpProj": [2, 4, 4], "layers.0.mlp.experts.downProj": [2, 4, 2] };
  expect(await load(fused([2, 4, 4], [2, 4, 2]), square, { names })).toEqual({
    "layers.0.mlp.experts.gateUpProj": upTo(32),
    "layers.0.mlp.experts.downProj": upTo(48, 32),
  });
  expect(await load(fused([2, 4, 4], [2, 2, 4]), square, { names })).toEqual({
    "layers.0.mlp.experts.gateUpProj": swap(0, [2, 4, 4]),
    "layers.0.mlp.experts.downProj": swap(32, [2, 4, 2]),
  });
});

test("where I = D the other tensor of the pair decides", async () => {
  const square = { "layers.0.mlp.experts.gateUpProj": [1, 4, 2], "layers.0.mlp.experts.downProj": [1, 2, 2] };
  expect((await load(fused([1, 4, 2], [1, 2, 2]), square, { names }))["layers.0.mlp.experts.downProj"]).toEqual(
    upTo(12, 8),
  );
  expect((await load(fused([1, 2, 4], [1, 2, 2]), square, { names }))["layers.0.mlp.experts.downProj"]).toEqual(
    swap(8, [1, 2, 2]),
  );
});

test.each([
  [[2, 4, 3], [2, 2, 3], "got [2,4,3] and [2,2,3]"],
  [[2, 5, 3], [2, 3, 2], "got [2,5,3] and [2,3,2]"],
  [[3, 4, 3], [3, 3, 2], "got [3,4,3] and [3,3,2]"],
])("a pair that fits neither way: %j %j", async (gateUp, down, message) => {
  const error = await failure(load(fused(gateUp, down), experts, { names }));
  expect(error).toBeInstanceOf(CheckpointError);
  expect(error.message).toContain("model.layers.0.mlp.experts.gate_up_proj and model.layers.0.mlp.experts.down_proj");
  expect(error.message).toContain("[2,4,3] and [2,3,2], or swapped [2,3,4] and [2,2,3]");
  expect(error.message).toContain(message);
});

test("half a pair is missing the other half", async () => {
  const file = countingFile({ "model.layers.0.mlp.experts.gate_up_proj": [2, 4, 3] });
  const error = await failure(load(file, experts, { names }));
  expect(error.message).toContain('1 tensor is missing:\n  "model.layers.0.mlp.experts.down_proj"');
});

test("f64, f16 and bf16, whole elements at odd places, tensors behind each other", async () => {
  const file = encodeSafetensors(
    new Map([
      ["a", { dtype: "F64", shape: [1], bytes: bytesOf(new Float64Array([0.1])) }],
      ["b", { dtype: "F16", shape: [2], bytes: bytesOf(new Uint16Array([0x3c01, 0x8000])) }],
      ["c", { dtype: "BF16", shape: [1], bytes: bytesOf(new Uint16Array([0xbf81])) }],
    ]),
  );
  expect(await load(file, { a: [1], b: [2], c: [1] })).toEqual({
    a: [Math.fround(0.1)],
    b: [1 + 2 ** -10, -0],
    c: [-1.0078125],
  });
});

test("progress counts bytes, and reads are few", async () => {
  const file = countingFile({ a: [1000], b: [1000], c: [1000] });
  const told: (readonly number[])[] = [];
  await load(file, { c: [1000], a: [1000], b: [1000] }, { onProgress: (...both) => told.push(both) });
  expect(told).toEqual([[12000, 12000]]);
});
