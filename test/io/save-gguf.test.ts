// GGUF files of our writer: what is read and written again is the same bit by bit, and nothing is lost where writing fails.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { openGguf, type Gguf } from "../../src/io/gguf.js";
import { loadModel } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import { encodeGguf, saveGguf, type SaveGgufOptions } from "../../src/io/save-gguf.js";
import { allParameters, disposeAll } from "../../src/layers/layer.js";
import { randomWeights, weightsFrom } from "../../src/layers/weights.js";
import { configFromJson, configToJson } from "../../src/models/config-json.js";
import type { Qwen3Config } from "../../src/models/qwen3-config.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import { packModel } from "../../src/quant/pack-model.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { str, u32, u64, value, type TensorType } from "./gguf-building.js";
import { dense, fileOf, sparse, withModel, type TypeOf } from "./gguf-models.js";

type Bytes = Uint8Array<ArrayBuffer>;

let backend: Backend;
let folder: string;
beforeAll(async () => {
  backend = await cpu();
  folder = await mkdtemp(join(tmpdir(), "qwen-blocks-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 });
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
/** Widths that superblocks divide. */
const wide = { numHiddenLayers: 1, hiddenSize: 256, intermediateSize: 256, headDim: 64, moeIntermediateSize: 256 };
const wideDense: Qwen3Config = { ...dense, ...wide, moeIntermediateSize: 0 };
const wideSparse: Qwen3Config = { ...sparse, ...wide, numExperts: 2 };

async function load(file: Bytes): Promise<{ model: Qwen3; config: unknown; from: Partial<SaveGgufOptions> }> {
  const { config, metadata, metadataTypes, ...checkpoint } = await openCheckpoint(file);
  const read = configFromJson(config);
  const options = { names: qwen3Names(read) };
  const model = await loadModel(backend, { ...checkpoint, config, metadata }, (w) => new Qwen3(w, read), options);
  return { model, config, from: { metadata, metadataTypes } };
}

/** Each tensor's type, shape and bytes. */
async function contents({ source, tensors }: Gguf): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const { name, dtype, shape, begin, end } of tensors.values())
    all[name] = `${dtype} [${shape.join()}] ${hex(await source.read(begin, end))}`;
  return all;
}

const tokens = Array.from({ length: dense.vocabSize }, (_, id) => `<${id}>`);
/** One of each type that a header can hold, the tokenizer's among them. */
const more = {
  "general.name": value.string("näme"),
  "general.sampling.temp": value.f32(1),
  "tokenizer.ggml.model": value.string("gpt2"),
  "tokenizer.ggml.tokens": value.array(8, tokens.map(str)),
  "tokenizer.ggml.token_type": value.array(
    5,
    tokens.map(() => u32(1)),
  ),
  "tokenizer.ggml.add_bos_token": value.bool(1),
  "tokenizer.ggml.eos_token_id": value.u32(3),
  "x.long": value.u64(2 ** 40),
  "x.longs": value.array(10, [u64(2 ** 33), u64(0)]),
  "x.none": value.array(8, []),
};

describe.each(Object.entries({ dense, sparse }))("%s", (name, narrow) => {
  const types = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K IQ4_NL MXFP4".split(" ") as TensorType[];
  test.each(types)("%s: the tensors' bytes and all metadata of the file that was read", async (type) => {
    const config = !type.endsWith("_K") ? narrow : name === "dense" ? wideDense : wideSparse;
    const typeOf: TypeOf = (name) => (/norm|gate_inp/.test(name) ? "F32" : type);
    const file = await fileOf(backend, config, typeOf, more);
    const { model, config: json, from } = await load(file);
    const before = backend.memory.usage();
    const written = await encodeGguf(model, json, { dtype: "f32", ...from });
    expect(backend.memory.usage()).toEqual(before);
    disposeAll(model);
    const [first, again] = [await openGguf(file), await openGguf(written)];
    expect(await contents(again)).toEqual(await contents(first));
    for (const [key, value] of first.metadata) {
      expect([key, again.metadata.get(key)]).toEqual([key, value]);
      expect([key, again.metadataTypes.get(key)]).toEqual([key, first.metadataTypes.get(key)]);
    }
    const added = [...again.metadata.keys()].filter((key) => !first.metadata.has(key));
    expect(added).toEqual(/^F|BF/.test(type) ? [] : ["general.quantization_version"]);
  });
});

test("types as llama-quantize mixes them in Q4_K_M: loaded packed, and written again as they were", async () => {
  const typeOf: TypeOf = (name) => {
    if (/norm/.test(name)) return "F32";
    return /attn_v|ffn_down|output\.weight/.test(name) ? "Q6_K" : "Q4_K";
  };
  const file = await fileOf(backend, { ...wideDense, vocabSize: 8 }, typeOf);
  const { model, config } = await load(file);
  expect(model.layers[0].selfAttn.qkvProj.weight.toString()).toBe("q4_k[384,256]");
  expect(model.layers[0].selfAttn.qkvProj.below?.weight.toString()).toBe("q6_k[128,256]");
  const written = await encodeGguf(model, config, { dtype: "f32" });
  expect(await contents(await openGguf(written))).toEqual(await contents(await openGguf(file)));
  disposeAll(model);
});

test("a file as the format has it, byte by byte", async () => {
  const config: Qwen3Config = { ...dense, numHiddenLayers: 1 };
  const options: SaveGgufOptions = { dtype: "f32", metadata: new Map([["a", true]]) };
  const file = await withModel(backend, config, (model) => encodeGguf(model, configToJson(config), options));
  const { tensors } = await openGguf(file);
  const [first, second] = tensors.values();
  const start = Buffer.from([...Buffer.from("GGUF"), ...u32(3), ...u64(tensors.size), ...u64(14)]);
  const architecture = [...str("general.architecture"), ...value.string("qwen3")];
  expect(hex(file.slice(0, start.length + architecture.length))).toBe(hex(Buffer.from([...start, ...architecture])));
  const entry = [...str("token_embd.weight"), ...u32(2), ...u64(64), ...u64(40), ...u32(0), ...u64(0)];
  expect(hex(file)).toContain(hex(Buffer.from([...entry, ...str("output_norm.weight"), ...u32(1), ...u64(64)])));
  expect(hex(file)).toContain(hex(Buffer.from([...str("a"), ...value.bool(1)])));
  expect([first.begin % 32, second.begin - first.end, file.length % 32]).toEqual([0, 0, 0]);
});

test("what is written is read: random models of drawn shapes, types and metadata", async () => {
  const shapes = fc.record({
    vocabSize: fc.integer({ min: 1, max: 5 }),
    hiddenSize: fc.constantFrom(32, 64),
    intermediateSize: fc.constantFrom(32, 96),
    numHiddenLayers: fc.integer({ min: 1, max: 2 }),
    heads: fc.constantFrom([1, 1], [2, 1], [4, 2]),
    headDim: fc.constantFrom(32, 64),
    tieWordEmbeddings: fc.boolean(),
    experts: fc.constantFrom(0, 1, 3),
    ropeTheta: fc.constantFrom(1e4, 1e6),
    seed: fc.nat(99),
  });
  const schemes = fc.constantFrom("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4");
  const scalar = fc.oneof(
    fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }),
    fc.float({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Number.isInteger(x)),
    fc.boolean(),
    fc.string(),
    fc.array(fc.string({ unit: "grapheme" }), { maxLength: 3 }),
    fc.array(fc.boolean(), { minLength: 1, maxLength: 3 }),
    fc.constantFrom(
      Int8Array.of(-1),
      Uint8Array.of(255),
      Int16Array.of(-9),
      Uint16Array.of(7),
      Uint32Array.of(2 ** 31),
    ),
    fc.constantFrom(Int32Array.of(), Float32Array.of(0.5), Float64Array.of(1e300)),
  );
  await fc.assert(
    fc.asyncProperty(
      shapes,
      schemes,
      fc.dictionary(fc.stringMatching(/^x\.[a-z]{1,9}$/), scalar),
      async (drawn, scheme, given) => {
        const { heads, experts, ropeTheta, seed, ...sizes } = drawn;
        const [numAttentionHeads, numKeyValueHeads] = heads;
        const config: Qwen3Config = {
          ...(experts > 0 ? { ...sparse, numExperts: experts, numExpertsPerTok: 1 } : dense),
          ...sizes,
          numAttentionHeads,
          numKeyValueHeads,
          rope: { ropeType: "default", ropeTheta },
        };
        const model = new Qwen3(randomWeights(backend, seed), config);
        if (scheme !== "f32") await packModel(model, { scheme });
        const metadata = new Map(Object.entries(given));
        const file = await encodeGguf(model, configToJson(config), { dtype: "f32", metadata });
        const again = await load(file);
        expect(configFromJson(again.config)).toEqual(config);
        for (const [key, value] of metadata) expect([key, again.from.metadata!.get(key)]).toEqual([key, value]);
        expect(await numbersOf(again.model)).toEqual(await numbersOf(model));
        disposeAll(again.model);
        disposeAll(model);
      },
    ),
    { numRuns: 30 },
  );
});

/** The words of each parameter, packed or plain. */
async function numbersOf(model: Qwen3): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const [path, parameter] of allParameters(model)) {
    const parts = "parts" in parameter ? parameter.parts : [parameter];
    const words = await Promise.all(parts.map((part) => part.data()));
    all[path] = words
      .map(({ buffer, byteOffset, byteLength }) => hex(new Uint8Array(buffer, byteOffset, byteLength)))
      .join(" ");
  }
  return all;
}

test("alignment as it is asked for", async () => {
  const options: SaveGgufOptions = { dtype: "bf16", metadata: new Map([["general.alignment", 512]]) };
  const file = await withModel(backend, dense, (model) => encodeGguf(model, configToJson(dense), options));
  const { tensors } = await openGguf(file);
  expect([...tensors.values()].every(({ begin }) => begin % 512 === 0)).toBe(true);
});

test("what fails or is ended halfway leaves the old file, and nothing beside it", async () => {
  const path = join(folder, "model.gguf");
  await withModel(backend, dense, async (model) => {
    await saveGguf(path, model, configToJson(dense), { dtype: "f16" });
    const old = hex(await readFile(path));
    expect(old).toBe(hex(await encodeGguf(model, configToJson(dense), { dtype: "f16" })));
    const last = model.layers[1].mlp as never as { downProj: { weight: { write(data: Float32Array): void } } };
    last.downProj.weight.write(Float32Array.of(1e9));
    await expect(saveGguf(path, model, configToJson(dense), { dtype: "f16" })).rejects.toThrow("fit into f16");
    const controller = new AbortController();
    const saving = saveGguf(path, model, configToJson(dense), { dtype: "f32", signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(saving).rejects.toThrow("enough");
    expect(hex(await readFile(path))).toBe(old);
    expect(await readdir(folder)).toEqual(["model.gguf"]);
  });
});

test("memory of a piece of one tensor", async () => {
  const config: Qwen3Config = { ...dense, vocabSize: 33_000, hiddenSize: 256, numHiddenLayers: 1 };
  let largest = 0;
  const { memory } = backend;
  const counting: Backend = {
    ...backend,
    memory: {
      alloc: (length) => memory.alloc(length),
      free: (storage) => memory.free(storage),
      write: (storage, offset, bytes) => memory.write(storage, offset, bytes),
      usage: () => memory.usage(),
      read: (storage, offset, length) => {
        largest = Math.max(largest, length);
        return memory.read(storage, offset, length);
      },
    },
  };
  const model = new Qwen3(
    weightsFrom(counting, (_, shape) => Tensor.allocate(counting, shape)),
    config,
  );
  const path = join(folder, "large.gguf");
  await saveGguf(path, model, configToJson(config), { dtype: "f32" });
  const { tensors } = await openGguf(await readFile(path));
  await rm(path);
  expect(largest).toBe(2 ** 25);
  expect(tensors.get("token_embd.weight")).toMatchObject({ dtype: "F32", shape: [33_000, 256] });
  disposeAll(model);
});
