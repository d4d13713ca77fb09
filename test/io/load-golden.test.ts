// Checkpoints that transformers wrote load with every number in its place.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint, readTensor } from "../../src/io/checkpoint.js";
import { loadModel } from "../../src/io/load-model.js";
import { qwen3Names, qwen3Path } from "../../src/io/qwen3-names.js";
import { allParameters, disposeAll } from "../../src/layers/layer.js";
import { configFromJson } from "../../src/models/config-json.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { backend } from "./loading.js";

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
