// Training states: bit by bit, strict, and never half written.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { CheckpointError, FormatError } from "../../src/core/errors.js";
import { Random } from "../../src/core/random.js";
import { encodeSafetensors } from "../../src/io/safetensors-writer.js";
import {
  encodeTrainingState,
  loadTrainingState,
  saveTrainingState,
  type JsonValue,
} from "../../src/io/training-state.js";
import { randn, tensor } from "../../src/tensor/create.js";
import type { Tensor } from "../../src/tensor/tensor.js";

let backend: Backend;
let folder: string;
const made: Tensor[] = [];
const make = (data: readonly number[] | Float32Array | Int32Array | Uint32Array, shape?: number[]): Tensor => {
  const result = tensor(backend, data, shape);
  made.push(result);
  return result;
};
beforeAll(async () => {
  backend = await cpu();
  folder = await mkdtemp(join(tmpdir(), "qwen-blocks-"));
});
afterAll(async () => {
  for (const each of made) each.dispose();
  expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 });
  await rm(folder, { recursive: true });
});

const bits = async (tensor: Tensor): Promise<Uint32Array> => new Uint32Array((await tensor.data()).buffer);

describe("a training state", () => {
  test("comes back bit by bit, and the random stream goes on", async () => {
    const random = new Random(5);
    random.normal();
    const strange = new Float32Array(new Uint32Array([0x7fc12345, 0xff800001, 0x80000000, 1, 0x3f800001]).buffer);
    const model = new Map([
      ["layers.0.weight", make(strange)],
      ["norm.weight", make([1, 2, 3, 4], [2, 2])],
    ]);
    const optimizer = new Map([
      ["m.layers.0.weight", make(Float32Array.from({ length: 5 }, () => random.normal()))],
      ["step", make(Int32Array.of(-7))],
      ["bits", make(Uint32Array.of(0xffffffff))],
      ["__proto__", make(new Float32Array(0), [0, 3])],
    ]);
    const path = join(folder, "state.safetensors");
    const state = { step: 12, random: { ...random.state }, best: 0.1, text: 'ä"\\', list: [null, true, 1e-300] };
    await saveTrainingState(path, { model, optimizer, state });
    expect(await readdir(folder)).toEqual(["state.safetensors"]);
    expect(new Uint8Array(await readFile(path))).toEqual(await encodeTrainingState({ model, optimizer, state }));

    const loaded = await loadTrainingState(path);
    expect(loaded.state).toEqual(state);
    expect(loaded.names("model")).toEqual(["layers.0.weight", "norm.weight"]);
    expect(loaded.names("optimizer")).toHaveLength(4);
    expect(loaded.shape("model", "norm.weight")).toEqual([2, 2]);
    expect(await loaded.data("optimizer", "step")).toEqual(Int32Array.of(-7));
    expect(await loaded.data("optimizer", "bits")).toEqual(Uint32Array.of(0xffffffff));
    const blank = (from: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
      new Map(
        [...from].map(([name, { size, dtype, shape }]) => {
          const zeros =
            dtype === "f32" ? new Float32Array(size) : dtype === "i32" ? new Int32Array(size) : new Uint32Array(size);
          return [name, make(zeros, [...shape])];
        }),
      );
    const into = { model: blank(model), optimizer: blank(optimizer) };
    await loaded.restore(into);
    for (const [name, each] of [...model, ...optimizer]) {
      expect(await bits((into.model.get(name) ?? into.optimizer.get(name))!), name).toEqual(await bits(each));
    }
    const resumed = Random.fromState((loaded.state as typeof state).random);
    expect(resumed.uniform()).toBe(random.uniform());
  });

  test("drawn weights and drawn scalars", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.integer(), fc.nat(40), async (value, seed, size) => {
        const state = JSON.parse(JSON.stringify(value)) as JsonValue;
        const [x, y] = [randn(backend, [size], new Random(seed)), randn(backend, [size], new Random(seed + 1))];
        try {
          const parts = { model: new Map([["x", x]]), optimizer: new Map([["x", y]]), state };
          const loaded = await loadTrainingState(await encodeTrainingState(parts));
          expect(loaded.state).toEqual(state);
          expect(await loaded.data("model", "x")).toEqual(await x.data());
          expect(await loaded.data("optimizer", "x")).toEqual(await y.data());
        } finally {
          x.dispose();
          y.dispose();
        }
      }),
      { numRuns: 50 },
    );
  });

  test("a failing save keeps the old state", async () => {
    const path = join(folder, "state.safetensors");
    const old = await readFile(path);
    const gone = tensor(backend, [1]);
    const parts = { model: new Map([["x", gone]]), optimizer: new Map(), state: 1 };
    gone.dispose();
    await expect(saveTrainingState(path, parts)).rejects.toThrow("disposed");
    expect(await readFile(path)).toEqual(old);
    expect(await readdir(folder)).toEqual(["state.safetensors"]);
  });
});

describe("restoring is strict", () => {
  const open = async (): Promise<Awaited<ReturnType<typeof loadTrainingState>>> =>
    loadTrainingState(
      await encodeTrainingState({
        model: new Map([["a", make([1, 2])]]),
        optimizer: new Map([["a", make([3, 4])]]),
        state: null,
      }),
    );

  test.each<[string, () => Map<string, Tensor>, string]>([
    ["missing", () => new Map(), 'optimizer "a" was saved but is not given'],
    [
      "extra",
      () =>
        new Map([
          ["a", make([0, 0])],
          ["b", make([0])],
        ]),
      'optimizer "b" is given but was not saved',
    ],
    [
      "shape",
      () => new Map([["a", make([0, 0], [1, 2])]]),
      'optimizer "a" must be f32[2] as it was saved, got f32[1,2]',
    ],
    [
      "type",
      () => new Map([["a", make(new Int32Array(2))]]),
      'optimizer "a" must be f32[2] as it was saved, got i32[2]',
    ],
  ])("%s", async (_, optimizer, message) => {
    const loaded = await open();
    const model = new Map([["a", make([0, 0])]]);
    const restoring = loaded.restore({ model, optimizer: optimizer() });
    await expect(restoring).rejects.toThrow(message);
    await expect(restoring).rejects.toBeInstanceOf(CheckpointError);
    expect([...(await model.get("a")!.data())]).toEqual([0, 0]); // nothing was written before the check
    await loaded.restore({ model });
    expect([...(await model.get("a")!.data())]).toEqual([1, 2]);
    await expect(loaded.data("model", "b")).rejects.toThrow('must hold model tensor "b"');
    expect(() => loaded.shape("model", "b")).toThrow(CheckpointError);
  });
});

test.each<[string, unknown, string]>([
  ["NaN", { loss: NaN }, 'state "loss" must be JSON, got NaN'],
  ["infinity", [Infinity], 'state "0" must be JSON, got Infinity'],
  ["nothing", { a: undefined }, 'state "a" must be JSON, got undefined'],
  ["a function", { a: () => 1 }, 'state "a" must be JSON, got function'],
  ["an array of floats", { a: new Float32Array(1) }, 'state "a" must be JSON, got object'],
])("scalars that JSON would change: %s", async (_, state, message) => {
  const parts = { model: new Map(), optimizer: new Map(), state: state as JsonValue };
  await expect(encodeTrainingState(parts)).rejects.toThrow(message);
  await expect(encodeTrainingState(parts)).rejects.toBeInstanceOf(FormatError);
});

test("other files are refused", async () => {
  const plain = encodeSafetensors(new Map(), { format: "pt" });
  await expect(loadTrainingState(plain)).rejects.toThrow("training state: must be a training state of format");
  const newer = encodeSafetensors(new Map(), { format: "qwen-blocks-training-state", version: "2", state: "1" });
  await expect(loadTrainingState(newer)).rejects.toThrow('got "qwen-blocks-training-state 2"');
  const empty = encodeSafetensors(new Map(), { format: "qwen-blocks-training-state", version: "1" });
  await expect(loadTrainingState(empty)).rejects.toThrow("training state: state: must be JSON");
});
