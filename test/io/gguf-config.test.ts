// The config of a GGUF file: every key has its field, and what has no place in a config is refused by name.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { CheckpointError, ConfigError, FormatError } from "../../src/core/errors.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { configFromJson } from "../../src/models/config-json.js";
import type { Qwen3Config } from "../../src/models/qwen3-config.js";
import { ggufFile, value } from "./gguf-building.js";
import { dense, fileOf, metadataOf, plainly, sparse } from "./gguf-models.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

const configOf = async (file: Uint8Array): Promise<Qwen3Config> => configFromJson((await openCheckpoint(file)).config);

test("dense and sparse; decimals as they were meant", async () => {
  expect(await configOf(await fileOf(backend, dense))).toEqual(dense);
  expect(await configOf(await fileOf(backend, sparse))).toEqual(sparse);
});

test("the tokenizer stays readable, and its ids are in the config", async () => {
  const ids = { bos: 1, eos: 2, padding: 3 };
  const more = Object.fromEntries(
    Object.entries(ids).map(([id, i]) => [`tokenizer.ggml.${id}_token_id`, value.u32(i)]),
  );
  const checkpoint = await openCheckpoint(await fileOf(backend, dense, plainly, more));
  expect(configFromJson(checkpoint.config)).toMatchObject({ bosTokenId: 1, eosTokenId: 2, padTokenId: 3 });
  expect(checkpoint.metadata.get("tokenizer.ggml.eos_token_id")).toBe(2);
});

test("YaRN and linear scaling", async () => {
  const key = (name: string): string => `qwen3.rope.scaling.${name}`;
  const factor = { [key("factor")]: value.f32(4), [key("finetuned")]: value.bool(1) };
  const linear = { [key("type")]: value.string("linear"), ...factor };
  expect((await configOf(await fileOf(backend, dense, plainly, linear))).rope).toEqual({
    ropeType: "linear",
    ropeTheta: 1e6,
    factor: 4,
  });
  const yarn = {
    [key("type")]: value.string("yarn"),
    ...factor,
    [key("original_context_length")]: value.u32(64),
    [key("yarn_beta_slow")]: value.f32(1.1),
    [key("yarn_ext_factor")]: value.f32(1),
  };
  const rope = { ropeType: "yarn", ropeTheta: 1e6, factor: 4, originalMaxPositionEmbeddings: 64, betaSlow: 1.1 };
  expect((await configOf(await fileOf(backend, dense, plainly, yarn))).rope).toEqual(rope);
  const other = { ...yarn, [key("attn_factor")]: value.f32(2) };
  await expect(configOf(await fileOf(backend, dense, plainly, other))).rejects.toThrow(
    "qwen3.rope.scaling.attn_factor",
  );
});

test.each([
  ["another architecture", { "general.architecture": value.string("llama") }, CheckpointError, 'got "llama"'],
  ["a part of several files", { "split.count": value.u32(2) }, CheckpointError, "merge them"],
  ["a key of another kind", { "qwen3.block_count": value.string("2") }, FormatError, 'must be a number, got "2"'],
  ["lists per layer", { "qwen3.block_count": value.array(4, []) }, FormatError, "must be a number, got an array of 0"],
  ["values as wide as no key", { "qwen3.attention.value_length": value.u32(64) }, FormatError, "width 32, got 64"],
  ["a partial rotation", { "qwen3.rope.dimension_count": value.u32(16) }, FormatError, "width 32, got 16"],
  ["a key that is not known", { "qwen3.attention.sliding_window": value.u32(4) }, ConfigError, "sliding_window"],
])("refused: %s", async (_, more, type, message) => {
  const failure = configOf(await fileOf(backend, dense, plainly, more));
  await expect(failure).rejects.toThrow(type);
  await expect(failure).rejects.toThrow(message);
});

test("refused: a key that is missing", async () => {
  const metadata = Object.entries(metadataOf(dense)).filter(([key]) => !key.endsWith("head_count_kv"));
  const file = ggufFile({ metadata: Object.fromEntries(metadata) });
  await expect(openCheckpoint(file)).rejects.toThrow('"qwen3.attention.head_count_kv" must be given');
});
