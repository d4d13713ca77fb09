// Mixtures with a shared expert and of unlike experts as feed-forwards of a decoder: trained, packed, saved and loaded like any other part.
import {
  allParameters, Attention, ConstantExperts, DecoderBlock, disposeAll, Embedding, ExpertMixture, Experts, IdentityExperts, LayerExpert, MoELayer,
  parameters, randomWeights, RmsNorm, Rope, scope, sequencePositions, SigmoidRouter, stepWithoutCache, SwigluMlp, tensor, TopKRouter, ZeroExperts,
  type Backend, type Routing, type Tensor, type Weights,
} from "qwen-blocks"; // prettier-ignore
import { encodeTrainingState, loadModel, loadTrainingState, openCheckpoint, plainNames, qwen3Names, saveCheckpoint } from "qwen-blocks/io"; // prettier-ignore
import { packModel } from "qwen-blocks/quant";
import { AdamW, Trainer, type Batch, type LanguageModel } from "qwen-blocks/train";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { bits, expectNoLeak, numbers } from "../tensor/numbers.js";

const D = 32;
const heads = { numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 16 };

class Decoder implements LanguageModel {
  readonly backend: Backend;
  readonly embedTokens: Embedding;
  readonly layers: readonly DecoderBlock[];
  readonly norm: RmsNorm;

  constructor(w: Weights) {
    const { backend } = w;
    const rope = new Rope(backend, 16, { ropeType: "default", ropeTheta: 1e4 });
    const mlps = [
      (w: Weights): ExpertMixture =>
        new ExpertMixture(w, {
          hiddenSize: D,
          router: new TopKRouter({ numExpertsPerTok: 3, normTopkProb: true }),
          sharedExpertIntermediateSize: 32,
          sharedExpertGate: true,
          groups: [
            new Experts(w.at("groups").at(0), { numExperts: 2, hiddenSize: D, moeIntermediateSize: 32 }),
            new Experts(w.at("groups").at(1), { numExperts: 1, hiddenSize: D, moeIntermediateSize: 64 }),
            new IdentityExperts(),
            new ConstantExperts(w.at("groups").at(3), { hiddenSize: D }),
            new ZeroExperts(),
            new LayerExpert(new SwigluMlp(w.at("groups").at(5).at("layer"), { hiddenSize: D, intermediateSize: 32 }), { capacityFactor: 1 }), // prettier-ignore
          ],
        }),
      (w: Weights): MoELayer =>
        new MoELayer(w, {
          hiddenSize: D,
          moeIntermediateSize: 32,
          numExperts: 7,
          router: new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true, eScoreCorrectionBias: w.at("router").take("eScoreCorrectionBias", [7], "zeros") as Tensor }), // prettier-ignore
          sharedExpertIntermediateSize: 32,
          sharedExpertGate: false,
        }),
    ];
    this.backend = backend;
    this.embedTokens = new Embedding(w.at("embedTokens"), { vocabSize: 9, hiddenSize: D });
    this.layers = mlps.map((mlp, i) => {
      const at = w.at("layers").at(i);
      const selfAttn = new Attention(at.at("selfAttn"), { ...heads, hiddenSize: D, rmsNormEps: 1e-6, qkNorm: true, rope }); // prettier-ignore
      return new DecoderBlock(at, { hiddenSize: D, rmsNormEps: 1e-6, selfAttn, mlp: mlp(at.at("mlp")) });
    });
    this.norm = new RmsNorm(w.at("norm"), { size: D, rmsNormEps: 1e-6 });
  }

  forward(rows: readonly ArrayLike<number>[], { routings }: { readonly routings?: Map<number, Routing> } = {}): Tensor {
    const found = new Map<number, Routing>();
    const { logits } = scope(() => {
      const shape = [rows.length, rows[0].length] as const;
      const ids = tensor(this.backend, Int32Array.from(rows.flatMap((row) => Array.from(row))), shape);
      const step = stepWithoutCache(this.backend, sequencePositions(...shape));
      let x = this.embedTokens.forward(ids);
      for (const [layer, block] of this.layers.entries()) x = block.forward(x, { step, layer, routings: found });
      return { logits: this.embedTokens.logits(this.norm.forward(x)), found };
    });
    if (routings) for (const [layer, routing] of found) routings.set(layer, routing);
    else disposeAll(found);
    return logits;
  }
}

const batch: Batch = {
  shape: [2, 4],
  inputs: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  targets: Int32Array.of(2, 3, 4, 5, 6, 7, 8, 0),
  counted: 8,
};
const made = (backend: Backend): Decoder => new Decoder(randomWeights(backend, 4, { initializerRange: 0.2 }));
const logitsOf = async (model: Decoder): Promise<number[]> => {
  const logits = model.forward([[1, 2, 3, 4]]);
  const values = await numbers(logits);
  logits.dispose();
  return values;
};

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "mixtures-"));
    backend = await open();
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await backend[Symbol.asyncDispose]();
  });

  test("every part trains: the loss falls, and every matrix that a token can visit has moved", () =>
    expectNoLeak(backend, async () => {
      const model = made(backend);
      const weights = parameters(model);
      const before = new Map<string, string>();
      for (const [path, weight] of weights) before.set(path, String(await bits(weight)));
      const optimizer = new AdamW(weights, { weightDecay: 0 });
      const trainer = new Trainer(model, { optimizer, schedule: () => 0.01, routerAuxLossCoef: 0 });
      const losses: number[] = [];
      for (let step = 0; step < 12; step++) losses.push((await trainer.step([batch])).loss);
      expect(losses[11]).toBeLessThan(losses[0] / 2);
      const still: string[] = [];
      for (const [path, weight] of weights) if (before.get(path) === String(await bits(weight))) still.push(path);
      expect(still).toEqual(["layers.1.mlp.router.eScoreCorrectionBias"]);
      optimizer.dispose();
      disposeAll(model);
    }));

  test("parameters are found by path, and counted by walking them", () => {
    const model = made(backend);
    const mlp = (layer: number): Record<string, readonly number[]> =>
      Object.fromEntries([...parameters(model.layers[layer].mlp)].map(([path, { shape }]) => [path, shape]));
    expect(mlp(0)).toEqual({
      "gate.weight": [7, D],
      "groups.0.gateUpProj": [2, 64, D],
      "groups.0.downProj": [2, D, 32],
      "groups.1.gateUpProj": [1, 128, D],
      "groups.1.downProj": [1, D, 64],
      "groups.3.constants": [1, D],
      "groups.5.layer.gateUpProj.weight": [64, D],
      "groups.5.layer.downProj.weight": [D, 32],
      "sharedExpert.gateUpProj.weight": [64, D],
      "sharedExpert.downProj.weight": [D, 32],
      "sharedExpertGate.weight": [1, D],
    });
    expect(Object.keys(mlp(1))).toEqual(["gate.weight", "router.eScoreCorrectionBias", "experts.gateUpProj", "experts.downProj", "sharedExpert.gateUpProj.weight", "sharedExpert.downProj.weight"]); // prettier-ignore
    const count = [...parameters(model.layers[0].mlp).values()].reduce((total, { size }) => total + size, 0);
    expect(count).toBe(7 * D + 2 * 96 * D + 192 * D + D + 96 * D + 96 * D + D);
    disposeAll(model);
  });

  test.each([
    ["its own paths", plainNames],
    ["a checkpoint's names", qwen3Names(heads)],
  ])("saved and loaded by %s it is the same model", async (name, names) => {
    const model = made(backend);
    const at = join(folder, name);
    await saveCheckpoint(at, allParameters(model), {}, { dtype: "f32", layout: "per-expert", names });
    const checkpoint = await openCheckpoint(at);
    const loaded = await loadModel(backend, checkpoint, (w) => new Decoder(w), { names });
    expect(await logitsOf(loaded)).toEqual(await logitsOf(model));
    if (name === "a checkpoint's names") {
      const keys = [...checkpoint.tensors.keys()];
      expect(keys).toContain("model.layers.0.mlp.shared_expert.gate_proj.weight");
      expect(keys).toContain("model.layers.0.mlp.shared_expert_gate.weight");
      expect(keys).toContain("model.layers.1.mlp.experts.3.down_proj.weight");
    }
    const file = await encodeTrainingState({ model: parameters(model), optimizer: new Map(), state: null });
    const state = await loadTrainingState(file);
    await state.restore({ model: parameters(loaded) });
    expect(await logitsOf(loaded)).toEqual(await logitsOf(model));
    disposeAll([model, loaded]);
  });

  test("packed it stays close, and keeps what weighs experts in f32", async () => {
    const model = made(backend);
    const exact = await logitsOf(model);
    await packModel(model, { scheme: "q8_0" });
    const plain = [...parameters(model).keys()].filter((path) => path.includes("mlp."));
    expect(plain).toEqual(["layers.0.mlp.gate.weight", "layers.0.mlp.groups.3.constants", "layers.0.mlp.sharedExpertGate.weight", "layers.1.mlp.gate.weight", "layers.1.mlp.router.eScoreCorrectionBias"]); // prettier-ignore
    const norm = (values: readonly number[]): number => Math.hypot(...values);
    const off = norm((await logitsOf(model)).map((v, i) => v - exact[i])) / norm(exact);
    // Eight bits: each weight is off by at most a 254th of its block's largest, a few parts in a thousand of its size at random.
    expect(off).toBeGreaterThan(0);
    expect(off).toBeLessThan(0.05);
    disposeAll(model);
    expect(backend.memory.usage().buffers).toBe(0);
  });
});
