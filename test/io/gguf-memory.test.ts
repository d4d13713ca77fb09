// Loading a GGUF file streams: what lies in memory beside the weights does not grow with them.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { loadModel } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import type { Source } from "../../src/io/source.js";
import { disposeAll } from "../../src/layers/layer.js";
import type { Weights } from "../../src/layers/weights.js";
import { ggufFile } from "./gguf-building.js";
import { dense, metadataOf } from "./gguf-models.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

const rows = 9000;
const width = 4096;
const head = ggufFile({
  metadata: metadataOf({ ...dense, vocabSize: rows, hiddenSize: width }),
  tensors: [{ name: "token_embd.weight", type: "Q8_0", shape: [rows, width], bytes: new Uint8Array(0) }],
  alignment: 32,
});
const bytes = (rows * width * 34) / 32;

test.each([
  ["stored", bytes],
  ["f32", 4 * rows * width],
] as const)("%s: no read and no write of more than 8 MB, and each byte once", async (weights, total) => {
  let largest = 0;
  const sum = { read: 0, written: 0 };
  const source: Source = {
    name: "large",
    byteLength: head.length + bytes,
    read: async (begin, end) => {
      if (begin >= head.length) [largest, sum.read] = [Math.max(largest, end - begin), sum.read + end - begin];
      const read = new Uint8Array(end - begin);
      read.set(head.subarray(begin, Math.min(end, head.length)));
      return read;
    },
  };
  const { memory } = backend;
  const counting: Backend = {
    ...backend,
    memory: {
      alloc: (length) => memory.alloc(length),
      free: (storage) => memory.free(storage),
      read: (storage, offset, length) => memory.read(storage, offset, length),
      usage: () => memory.usage(),
      write: (storage, offset, written) => {
        [largest, sum.written] = [Math.max(largest, written.byteLength), sum.written + written.byteLength];
        memory.write(storage, offset, written);
      },
    },
  };
  const checkpoint = await openCheckpoint(source);
  const names = qwen3Names(dense);
  const build = (w: Weights): object => ({ it: w.at("embedTokens").take("weight", [rows, width], "normal") });
  disposeAll(await loadModel(counting, checkpoint, build, { names, weights }));
  expect(largest).toBeLessThanOrEqual(2 ** 23);
  expect(sum).toEqual({ read: bytes, written: total });
});
