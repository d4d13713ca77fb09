// A GGUF file as a checkpoint: its names, and a model that loads packed and computes what the same weights quantised here compute.
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Backend } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { openCheckpoint } from "../../src/io/checkpoint.js";
import { loadModel, type LoadOptions } from "../../src/io/load-model.js";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import { encodeCheckpoint } from "../../src/io/save.js";
import { allParameters, disposeAll, setActivations } from "../../src/layers/layer.js";
import type { Linear } from "../../src/layers/linear.js";
import { randomWeights, weightsFrom, type Weights } from "../../src/layers/weights.js";
import { configFromJson } from "../../src/models/config-json.js";
import type { Qwen3Config } from "../../src/models/qwen3-config.js";
import { Qwen3 } from "../../src/models/qwen3.js";
import { quantize } from "../../src/ops/quantize.js";
import { dequantizeModel } from "../../src/quant/repack-model.js";
import { schemes } from "../../src/quant/schemes/schemes.js";
import type { PackedTensor } from "../../src/tensor/packed-tensor.js";
import { scope } from "../../src/tensor/scope.js";
import { Tensor } from "../../src/tensor/tensor.js";
import { encoded, ggufFile, value, type BuiltTensor, type TensorType } from "./gguf-building.js";
import { dense, fileOf, metadataOf, plainly, sparse, type TypeOf } from "./gguf-models.js";

type Bytes = Uint8Array<ArrayBuffer>;

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
afterAll(() => expect(backend.memory.usage()).toMatchObject({ buffers: 0, bytes: 0 }));

/** As llama.cpp quantises: norms and routers stay F32. */
const all =
  (type: TensorType): TypeOf =>
  (name) =>
    /norm|gate_inp/.test(name) ? "F32" : type;

async function load(file: Bytes, options: LoadOptions = {}): Promise<Qwen3> {
  const checkpoint = await openCheckpoint(file);
  const config = configFromJson(checkpoint.config);
  return loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config), ...options });
}

async function logitsOf(model: Qwen3): Promise<Float32Array> {
  const logits = scope(() => model.forward([[1, 2, 39, 5, 7]]));
  const data = (await logits.data()) as Float32Array;
  logits.dispose();
  disposeAll(model);
  return data;
}

async function savedPlain(model: Qwen3): Promise<Bytes> {
  const options = { dtype: "f32", layout: "per-expert", names: qwen3Names(model.config) } as const;
  const files = await encodeCheckpoint(allParameters(model), {}, options);
  disposeAll(model);
  return files["model.safetensors"];
}

/** The random model with every matrix but the routers packed by the scheme: what the file must amount to. */
const packedHere = (config: Qwen3Config, scheme: string): Qwen3 => {
  const random = randomWeights(backend, 7);
  const take: Parameters<typeof weightsFrom>[1] = (path, shape, init) => {
    const at = path.lastIndexOf(".");
    const fields = path.slice(0, at).split(".");
    const plain = fields.reduce((w: Weights, field) => w.at(field), random).take(path.slice(at + 1), shape, init);
    if (init !== "normal" || path.endsWith("gate.weight")) return plain;
    const packed = quantize(plain as Tensor, schemes[scheme]);
    plain.dispose();
    return packed;
  };
  return new Qwen3(weightsFrom(backend, take), config);
};

for (const [name, config] of Object.entries({ dense, sparse })) {
  test.each(["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "MXFP4", "IQ4_NL"] as const)(
    `${name} in %s: the same bits as the weights packed here`,
    async (type) => {
      const model = await load(await fileOf(backend, config, all(type)));
      for (const [path, parameter] of allParameters(model)) {
        const expected = /orm\.weight$|gate\.weight$/.test(path) ? "f32" : type.toLowerCase();
        expect(`${path} ${parameter.toString().replace(/\[.*/, "")}`).toBe(`${path} ${expected}`);
      }
      expect(await logitsOf(model)).toEqual(await logitsOf(packedHere(config, type.toLowerCase())));
    },
  );

  test(`${name} in F32: the same bits as the model it was made of`, async () => {
    const model = await load(await fileOf(backend, config));
    expect(await logitsOf(model)).toEqual(await logitsOf(new Qwen3(randomWeights(backend, 7), config)));
  });
}

test.each(["BF16", "F16"] as const)("%s stays packed; norms and routers in it become f32", async (type) => {
  const file = await fileOf(backend, sparse, () => type);
  const model = await load(file);
  const parameters = allParameters(model);
  expect((parameters.get("embedTokens.weight") as PackedTensor).scheme.name).toBe(type.toLowerCase());
  expect(parameters.get("layers.1.mlp.gate.weight")).toBeInstanceOf(Tensor);
  expect(parameters.get("norm.weight")).toBeInstanceOf(Tensor);
  expect(await logitsOf(model)).toEqual(await logitsOf(await load(file, { weights: "f32" })));
});

test("as f32 on request: the numbers that the packed model has", async () => {
  const file = await fileOf(backend, sparse, all("Q4_0"));
  const model = await load(file, { weights: "f32" });
  expect([...allParameters(model).values()].every((parameter) => parameter instanceof Tensor)).toBe(true);
  expect(await logitsOf(model)).toEqual(await logitsOf(await load(file)));
});

test.each([
  ["values", /attn_v/, ["q4_0[192,64]", "q8_0[64,64]"]],
  ["keys", /attn_k/, ["q4_0[128,64]", "q8_0[64,64]", "q4_0[64,64]"]],
  ["plain queries", /attn_q\./, ["f32[128,64]", "q4_0[128,64]"]],
])("%s of another type are rows of their own, with the same product", async (_, which, expected) => {
  const other: TensorType = expected[0].startsWith("f32") ? "F32" : "Q8_0";
  const file = await fileOf(backend, dense, (name) => (which.test(name) ? other : all("Q4_0")(name)));
  const model = await load(file);
  const found: string[] = [];
  for (let rows: Linear | undefined = model.layers[1].selfAttn.qkvProj; rows !== undefined; rows = rows.below)
    found.push(rows.weight.toString());
  expect(found).toEqual(expected);
  expect([...allParameters(model).keys()]).toContain("layers.1.selfAttn.qkvProj.below.weight");
  setActivations(model, "q8");
  const blocks = [model.layers[1].selfAttn.qkvProj, model.layers[1].selfAttn.qkvProj.below!];
  expect(blocks.map(({ activations }) => activations)).toEqual(
    expected.slice(0, 2).map((it) => (it.startsWith("f32") ? "f32" : "q8")),
  );
  setActivations(model, "f32");
  expect(await logitsOf(model)).toEqual(await logitsOf(await load(file, { weights: "f32" })));
  const again = await load(file);
  await dequantizeModel(again);
  expect(await savedPlain(again)).toEqual(await savedPlain(await load(file, { weights: "f32" })));
});

test("experts whose gate and up are of two types are refused by name, or decoded on request", async () => {
  const file = await fileOf(backend, sparse, (name) => (name.includes("up_exps") ? "Q8_0" : all("Q4_0")(name)));
  const before = backend.memory.usage();
  await expect(load(file)).rejects.toThrow(
    'layers.0.mlp.experts.gateUpProj must be whole rows of one type to stay packed, got Q4_0, Q8_0; load with weights: "f32"',
  );
  expect(backend.memory.usage()).toEqual(before);
  disposeAll(await load(file, { weights: "f32" }));
});

test("rows of several types that are missing or misshapen are listed", async () => {
  const metadata = { ...metadataOf(dense), "qwen3.vocab_size": value.u32(40) };
  const tensor = (name: string, type: TensorType, rows: number): BuiltTensor => ({
    name: `blk.0.${name}.weight`,
    type,
    shape: [rows, 64],
    bytes: encoded(type, new Float32Array(rows * 64)),
  });
  const file = ggufFile({ metadata, tensors: [tensor("attn_q", "Q4_0", 128), tensor("attn_v", "Q8_0", 32)] });
  const before = backend.memory.usage();
  const failure = load(file);
  await expect(failure).rejects.toThrow('"model.layers.0.self_attn.k_proj.weight"');
  await expect(failure).rejects.toThrow("v_proj.weight must have shape [64,64] for layers.0.selfAttn.qkvProj.weight");
  expect(backend.memory.usage()).toEqual(before);
});

test("what is missing, left over and of another shape is listed", async () => {
  const file = await fileOf(backend, { ...dense, hiddenSize: 32 }, plainly, {
    "qwen3.embedding_length": value.u32(64),
  });
  await expect(load(file)).rejects.toThrow(
    "model.embed_tokens.weight must have shape [40,64] for embedTokens.weight, got [40,32]",
  );
  const metadata = { ...metadataOf(dense), "qwen3.vocab_size": value.u32(40) };
  const rope = { name: "rope_freqs.weight", type: "F32", shape: [1], bytes: new Uint8Array(4) } as const;
  await expect(load(ggufFile({ metadata, tensors: [rope] }))).rejects.toThrow(
    /"model\.embed_tokens\.weight"[^]*1 tensor has no place in the model:\n {2}"rope_freqs\.weight"/,
  );
});

test("experts of no numbers are not cut up, and too many are refused", async () => {
  const down = (count: number, width: number, bytes: number): Bytes => {
    const name = "blk.0.ffn_down_exps.weight";
    const tensor = { name, type: "F32", shape: [count, 1, width], bytes: new Uint8Array(bytes) } as const;
    return ggufFile({ metadata: metadataOf(sparse), tensors: [tensor] });
  };
  expect([...(await openCheckpoint(down(2 ** 40, 0, 0))).tensors.keys()]).toEqual(["blk.0.ffn_down_exps.weight"]);
  expect(
    (await openCheckpoint(down(2, 1, 8))).tensors.get("model.layers.0.mlp.experts.1.down_proj.weight"),
  ).toMatchObject({ name: "blk.0.ffn_down_exps.weight", shape: [1, 1], dtype: "F32" });
  await expect(openCheckpoint(down(10_001, 1, 40_004))).rejects.toThrow("must hold at most 10000 experts, got 10001");
});

test("from a path", async () => {
  const path = join(await mkdtemp(join(tmpdir(), "gguf-")), "model.gguf");
  await writeFile(path, await fileOf(backend, dense));
  const checkpoint = await openCheckpoint(path);
  expect([checkpoint.format, checkpoint.tensors.size]).toEqual(["gguf", 25]);
});

test("activations are chosen by the caller, for products with weights in blocks", async () => {
  const file = await fileOf(backend, sparse, all("Q8_0"));
  const model = await load(file);
  setActivations(model, "q8");
  const { selfAttn, mlp } = model.layers[0] as { selfAttn: { oProj: Linear }; mlp: object };
  const { gate, experts } = mlp as { gate: Linear; experts: { activations: string } };
  const chosen = [model.embedTokens, selfAttn.oProj, experts, gate].map(({ activations }) => activations);
  expect(chosen).toEqual(["q8", "q8", "q8", "f32"]);
  expect(await logitsOf(model)).not.toEqual(await logitsOf(await load(file)));
});
