// Loading guesses nothing and leaves nothing over, and a failure frees all memory.
import { describe, expect, test } from "vitest";
import { CheckpointError, FormatError } from "../../src/core/errors.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { loadModel } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import { encodeSafetensors } from "../../src/io/safetensors-writer.js";
import { bytesSource, type Source } from "../../src/io/source.js";
import { disposeAll, type Parameter } from "../../src/layers/layer.js";
import type { Weights } from "../../src/layers/weights.js";
import { scope } from "../../src/tensor/scope.js";
import { countingFile } from "./file-building.js";
import { backend, building, failure, heads, load, names, upTo } from "./loading.js";

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
    expect(await load(file, { a: [1] }, { allowUnused: (name) => name.startsWith("lm_") })).toEqual({
      a: [0],
    });
    const { message } = await failure(load(file, { a: [1] }, { allowUnused: ["a"] }));
    expect(message).toContain('1 tensor has no place in the model:\n  "lm_head.weight"');
  });

  test("integers are no weights", async () => {
    const file = encodeSafetensors(new Map([["a", { dtype: "I32", shape: [1], bytes: new Uint8Array(4) }]]));
    expect((await failure(load(file, { a: [1] }))).message).toContain(
      "a must have a floating-point type for a, got I32",
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
