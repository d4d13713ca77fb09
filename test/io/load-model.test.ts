// Loading: every number finds its place in every layout, nothing is guessed or left over, and a failure frees all memory.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { CheckpointError, FormatError } from "../../src/core/errors.js";
import { openCheckpoint, readTensor } from "../../src/io/checkpoint.js";
import { loadModel, type LoadOptions } from "../../src/io/load-model.js";
import { qwen3Names, qwen3Path } from "../../src/io/qwen3-names.js";
import { encodeSafetensors } from "../../src/io/safetensors-writer.js";
import { bytesSource, type Source } from "../../src/io/source.js";
import { allParameters, disposeAll, type Parameter } from "../../src/layers/layer.js";
import type { Weights } from "../../src/layers/weights.js";
import { configFromJson } from "../../src/models/config-json.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import { scope } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { bytesOf, countingFile } from "./file-building.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
// Every test frees what it loads, and every failed load has freed it.
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

/** A model out of paths and shapes. */
const building =
  (shapes: Record<string, readonly number[]>) =>
  (w: Weights): Record<string, Parameter> =>
    Object.fromEntries(Object.entries(shapes).map(([path, shape]) => [path, w.take(path, shape, "normal")]));

async function load(
  file: Uint8Array | Source,
  shapes: Record<string, readonly number[]>,
  options?: LoadOptions,
): Promise<Record<string, number[]>> {
  const model = await loadModel(backend, await openCheckpoint(file), building(shapes), options);
  const numbers: Record<string, number[]> = {};
  for (const [path, tensor] of Object.entries(model)) numbers[path] = [...(await (tensor as Tensor).data())];
  disposeAll(model);
  return numbers;
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  const before = backend.memory.usage();
  const error = await promise.then(
    () => new Error("did not fail"),
    (error: unknown) => error as Error,
  );
  expect(backend.memory.usage()).toEqual(before);
  return error;
}

const heads = { numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 2 };
const names = qwen3Names(heads);
/** [E, 2 I, D] = [2, 4, 3] */
const experts = {
  "layers.0.mlp.experts.gateUpProj": [2, 4, 3],
  "layers.0.mlp.experts.downProj": [2, 3, 2],
};
const upTo = (end: number, start = 0): number[] => Array.from({ length: end - start }, (_, i) => start + i);

describe("what fills a parameter", () => {
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
});

describe("strictness", () => {
  test("shapes", async () => {
    const file = countingFile({ a: [2, 3], b: [4] });
    const error = await failure(load(file, { a: [3, 2], b: [4] }));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toBe(
      "bytes: checkpoint and model must agree:\n1 tensor does not fit the model:\n  a must have shape [3,2] for a, got [2,3]",
    );
  });

  test("a wrong head dimension is named, not guessed", async () => {
    const at = "model.layers.0.self_attn.";
    const file = countingFile({
      [`${at}q_proj.weight`]: [4, 3],
      [`${at}k_proj.weight`]: [4, 3],
      [`${at}v_proj.weight`]: [4, 3],
    });
    const wanted = { "layers.0.selfAttn.qkvProj.weight": [8, 3] };
    const message = "k_proj.weight must have shape [2,3] for layers.0.selfAttn.qkvProj.weight, got [4,3]";
    expect((await failure(load(file, wanted, { names }))).message).toContain(message);
    const rows = "layers.0.selfAttn.qkvProj.weight: must have (2 + 2 * 1) heads of 4 rows = 16, got [8,3]";
    const other = qwen3Names({ ...heads, headDim: 4 });
    expect((await failure(load(file, wanted, { names: other }))).message).toContain(rows);
  });

  test("what is missing and left over is listed, ten of each", async () => {
    const file = countingFile(Object.fromEntries(upTo(12).map((i) => [`old.${i}`, [1]])));
    const wanted = Object.fromEntries(upTo(11).map((i) => [`new.${i}`, [1]]));
    const { message } = await failure(load(file, wanted));
    expect(message).toContain('11 tensors are missing:\n  "new.0"');
    expect(message).toContain('"new.9"\n  and 1 more');
    expect(message).not.toContain("new.10");
    expect(message).toContain('12 tensors have no place in the model:\n  "old.0"');
    expect(message).toContain('"old.9"\n  and 2 more');
  });

  test("left-over tensors may be allowed by list or by rule", async () => {
    const file = countingFile({ a: [1], "lm_head.weight": [2] });
    expect(await load(file, { a: [1] }, { allowUnused: ["lm_head.weight"] })).toEqual({ a: [0] });
    expect(await load(file, { a: [1] }, { allowUnused: (name) => name.startsWith("lm_") })).toEqual({ a: [0] });
    const { message } = await failure(load(file, { a: [1] }, { allowUnused: ["a"] }));
    expect(message).toContain('1 tensor has no place in the model:\n  "lm_head.weight"');
  });

  test("integers are no weights", async () => {
    const file = encodeSafetensors(new Map([["a", { dtype: "I32", shape: [1], bytes: new Uint8Array(4) }]]));
    expect((await failure(load(file, { a: [1] }))).message).toContain(
      "a must have type F64, F32, F16, BF16, Q8_0, Q4_0 for a, got I32",
    );
  });

  test("names that do not give the whole parameter", async () => {
    const half = { find: () => [{ key: "a", shape: [1] }], write: () => [] };
    const { message } = await failure(load(countingFile({ a: [1] }), { p: [2] }, { names: half }));
    expect(message).toContain("p: names must give all of [2], got 1 elements");
  });
});

describe("failures free everything", () => {
  const file = countingFile({ a: [100], b: [100] });

  test("in the function that builds", async () => {
    const open = await openCheckpoint(file);
    const error = await failure(
      loadModel(backend, open, (w) => {
        w.take("a", [100], "normal");
        throw new TypeError("mine");
      }),
    );
    expect(error).toBeInstanceOf(TypeError);
    const explained = await failure(
      loadModel(backend, open, (w) => {
        w.take("c", [100], "normal");
        throw new TypeError("mine");
      }),
    );
    expect(explained).toBeInstanceOf(CheckpointError);
    expect(explained.cause).toBeInstanceOf(TypeError);
  });

  test("while reading", async () => {
    const source = bytesSource(file);
    const broken: Source = {
      ...source,
      read: (begin, end) => (end === file.length ? Promise.reject(new Error("unplugged")) : source.read(begin, end)),
    };
    expect((await failure(load(broken, { a: [100], b: [100] }))).message).toBe("unplugged");
    const short: Source = {
      ...source,
      read: async (begin, end) => (await source.read(begin, end)).subarray(0, end === file.length ? 5 : end),
    };
    expect(await failure(load(short, { a: [100], b: [100] }))).toBeInstanceOf(FormatError);
  });

  test("by abort, also in the middle", async () => {
    const aborted = AbortSignal.abort(new Error("enough"));
    expect((await failure(load(file, { a: [100], b: [100] }, { signal: aborted }))).message).toBe("enough");
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error("late"));
    const options = { signal: controller.signal, onProgress };
    expect((await failure(load(file, { a: [100], b: [100] }, options))).message).toBe("late");
  });

  test("weights that were disposed, or taken too late", async () => {
    const open = await openCheckpoint(file);
    const disposing = (w: Weights): object => {
      w.take("a", [100], "normal").dispose();
      return { b: w.take("b", [100], "normal") };
    };
    expect((await failure(loadModel(backend, open, disposing))).message).toContain("pack after loading");
    let late: Weights | undefined;
    const model = await loadModel(backend, open, (w) => ((late = w), building({ a: [100], b: [100] })(w)));
    expect(() => late!.take("a", [100], "normal")).toThrow(CheckpointError);
    disposeAll(model);
  });

  test("a scope around the call takes nothing away", async () => {
    const open = await openCheckpoint(file);
    let pending: Promise<Record<string, Parameter>> | undefined;
    scope(() => {
      pending = loadModel(backend, open, building({ a: [100], b: [100] }));
    });
    const model = await pending!;
    expect(model.a.disposed).toBe(false);
    disposeAll(model);
  });
});

test("progress counts bytes, and reads are few", async () => {
  const file = countingFile({ a: [1000], b: [1000], c: [1000] });
  const told: (readonly number[])[] = [];
  await load(file, { c: [1000], a: [1000], b: [1000] }, { onProgress: (...both) => told.push(both) });
  expect(told).toEqual([[12000, 12000]]);
});

describe.each(["dense", "moe-norm", "moe-raw", "moe-mixed", "moe-yarn"])("what transformers wrote: %s", (folder) => {
  const path = resolve(import.meta.dirname, "../golden", folder);

  test("loads into Qwen3, every number in its place", async () => {
    const checkpoint = await openCheckpoint(path);
    const config = configFromJson(checkpoint.config);
    const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
    const parameters = allParameters(model);
    expect(new Set([...checkpoint.tensors.keys()].map(qwen3Path))).toEqual(new Set(parameters.keys()));
    const sums = new Map<string, number>();
    for (const key of checkpoint.tensors.keys()) {
      const sum = ((await readTensor(checkpoint, key)) as Float32Array).reduce((a, b) => a + b, 0);
      sums.set(qwen3Path(key), (sums.get(qwen3Path(key)) ?? 0) + sum);
    }
    for (const [name, parameter] of parameters) {
      const data = (await (parameter as Tensor).data()) as Float32Array;
      expect(
        data.reduce((a, b) => a + b, 0),
        name,
      ).toBeCloseTo(sums.get(name)!, 9);
    }
    const embedding = await (parameters.get("embedTokens.weight") as Tensor).data();
    expect(embedding).toEqual(await readTensor(checkpoint, "model.embed_tokens.weight"));
    disposeAll(model);
  });

  test("from bytes as well", async () => {
    const file = await readFile(resolve(path, "model.safetensors"));
    const { tensors, config } = await openCheckpoint(file);
    expect(tensors.size).toBeGreaterThan(20);
    expect(config).toBeUndefined();
  });
});
