// Mixtures with a shared expert against what transformers computes (test/golden/mixtures.py), forward and backward.
import {
  disposeAll, mul, MoELayer, parameters, SigmoidRouter, sum, tensor, TopKRouter, valueAndGrad, weightsFrom, type Backend, type Router, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { qwen3Names } from "qwen-blocks/io";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { compare } from "../golden/compare.js";
import { numbers } from "../tensor/numbers.js";

interface Listed {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}
interface Golden {
  readonly name: string;
  readonly config: {
    readonly hidden_size: number;
    readonly moe_intermediate_size: number;
    readonly num_experts_per_tok: number;
    readonly norm_topk_prob: boolean;
    readonly routed_scaling_factor?: number;
  };
  /** Under the names of a checkpoint, without the layer's. */
  readonly weights: Readonly<Record<string, Listed>>;
  readonly inputs: Readonly<Record<"x" | "direction", Listed>>;
  readonly expected: Readonly<Record<string, Listed & { readonly distance: number }>>;
}

const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "../golden/mixtures.json"), "utf8")) as Golden[];

/** A parameter as a checkpoint has it, its parts in order; DeepSeek has a plural of its own. */
function partsOf<T extends Listed>(
  from: Readonly<Record<string, T>>,
  prefix: string,
  path: string,
  shape: readonly number[],
): T[] {
  const found = new Map(Object.entries(from).map(([name, { shape }]) => [`model.mlp.${name.slice(prefix.length)}`, { shape }])); // prettier-ignore
  const names = qwen3Names({ numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 1 });
  return names.find(`mlp.${path}`, shape, found).map(({ key, shape }) => {
    const name = prefix + key.replace("model.mlp.", "");
    const part = from[name] ?? from[name.replace("shared_expert.", "shared_experts.")];
    expect(part?.shape, key).toEqual(shape);
    return part;
  });
}
const joined = (parts: readonly Listed[]): number[] => parts.flatMap(({ data }) => data);

const given = (backend: Backend, { data, shape }: Listed): Tensor => tensor(backend, data, shape);

function routerOf(backend: Backend, { config, weights }: Golden): Router {
  const { num_experts_per_tok: numExpertsPerTok, norm_topk_prob: normTopkProb } = config;
  const bias = weights["gate.e_score_correction_bias"];
  if (!bias) return new TopKRouter({ numExpertsPerTok, normTopkProb });
  const eScoreCorrectionBias = given(backend, bias);
  return new SigmoidRouter({ numExpertsPerTok, normTopkProb, routedScalingFactor: config.routed_scaling_factor, eScoreCorrectionBias }); // prettier-ignore
}

function layerOf(backend: Backend, block: Golden): MoELayer {
  const w = weightsFrom(backend, (path, shape) =>
    tensor(backend, joined(partsOf(block.weights, "", path, shape)), shape),
  );
  const rows = Object.entries(block.weights).find(([name]) => /shared_experts?\.gate_proj/.test(name));
  return new MoELayer(w, {
    hiddenSize: block.config.hidden_size,
    moeIntermediateSize: block.config.moe_intermediate_size,
    numExperts: block.weights["gate.weight"].shape[0],
    router: routerOf(backend, block),
    sharedExpertIntermediateSize: rows![1].shape[0],
    sharedExpertGate: "shared_expert_gate.weight" in block.weights,
  });
}

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test.each(golden.map((block) => [block.name, block] as const))("%s: output and every gradient", async (_, block) => {
    const layer = layerOf(backend, block);
    const x = given(backend, block.inputs.x);
    const direction = given(backend, block.inputs.direction);
    const weights = [...parameters(layer)].filter(([path]) => !path.startsWith("router."));
    const { value, grads } = valueAndGrad(new Map([...weights, ["x", x]]), () => {
      const { output } = layer.forward(x);
      return { loss: sum(mul(output, direction), [0, 1, 2]), output };
    });
    const computed = new Map([["output", await numbers(value.output)]]);
    for (const [path, grad] of grads) computed.set(`grad.${path}`, await numbers(grad));
    const parts = new Map([
      ["output", [block.expected.output]],
      ["grad.x", [block.expected["grad.x"]]],
      ...weights.map(([path, { shape }]) => [`grad.${path}`, partsOf(block.expected, "grad.", path, shape)] as const),
    ]);
    const expected = Array.from(parts, ([name, of]) => {
      const distance = Math.max(...of.map((part) => part.distance));
      return { name, shape: [], distance, values: Float64Array.from(joined(of)) };
    });
    for (const verdict of compare({ expected, attentionMask: new Int32Array() }, computed)) {
      expect(verdict, verdict.name).toMatchObject({ passed: true });
    }
    expect(new Set([...parts.values()].flat())).toEqual(new Set(Object.values(block.expected)));
    disposeAll([layer, value, [...grads.values()], x, direction]);
    expect(backend.memory.usage().buffers).toBe(0);
  });
});
