// A pass cut between its layers. On the backend the residual stream is noted there, with its gradient; on the oracle each layer then runs by
// itself from what was noted, so that its bounds are those of one layer.
import {
  add, div, gatherRows, keep, linear, MoELayer, mul, parameters, Qwen3, reshape, sequencePositions, softmax, stepWithoutCache, sum, tensor, valueAndGrad,
  zeros, type Backend, type DecoderBlock, type NormedStream, type Qwen3Config, type RmsNorm, type Router, type SchemeName, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { packModel } from "qwen-blocks/quant";
import type { Oracle } from "qwen-blocks/testing";
import { nextTokenLoss } from "qwen-blocks/train";
import { livelyWeights } from "../models/tiny.js";
import { expectWithinBounds, type Tally } from "./expect-same.js";

/** All that a backend made of one text, on the host. */
export interface Pass {
  readonly config: Qwen3Config;
  readonly ids: readonly number[];
  readonly seed: number;
  /** By which the matrices are packed; plain if undefined. */
  readonly scheme: SchemeName | undefined;
  /** What each token chose, by layer. */
  readonly experts: ReadonlyMap<number, Int32Array>;
  readonly logits: readonly number[];
  readonly loss: readonly number[];
  /** The residual stream before each layer and after the last, [T, D]. */
  readonly stages: readonly (readonly number[])[];
  /** By parameter; the gradients of the stages are named by {@link probeName}. */
  readonly grads: ReadonlyMap<string, readonly number[]>;
}

export const numbersOf = async (x: Tensor): Promise<number[]> => [...(await x.data())];
export const probeName = (stage: number): string => `stage ${stage}`;

/**
 * Adds a parameter of zeros to the residual stream before each layer and after the last: adding 0 is exact, and the parameter's gradient is
 * the stream's. What the layer before made of the stream for the next norm is made anew from the sum.
 */
export function probed(model: Qwen3, T: number): { readonly stages: Tensor[]; readonly probes: Map<string, Tensor> } {
  const { layers, norm, config } = model;
  const stages: Tensor[] = [];
  const probes = new Map<string, Tensor>();
  const probe = (stage: number, x: Tensor, norm: RmsNorm): NormedStream => {
    const noted = keep(add(x, probes.get(probeName(stage)) as Tensor));
    stages.push(noted);
    return { x: noted, normed: norm.forward(noted) };
  };
  for (let stage = 0; stage <= layers.length; stage++)
    probes.set(probeName(stage), zeros(model.backend, [1, T, config.hiddenSize]));
  layers.forEach((block, i) => {
    const through: DecoderBlock["forwardNormed"] = block.forwardNormed;
    const forwardNormed: DecoderBlock["forwardNormed"] = ({ x }, next, context) => {
      const after = through.call(block, probe(i, x, block.inputLayernorm), next, context);
      return i + 1 < layers.length ? after : probe(i + 1, after.x, norm);
    };
    Object.assign(block, { forwardNormed });
  });
  return { stages, probes };
}

/** The model of a pass. */
export async function modelOf(
  where: Backend,
  { config, seed, scheme }: Pick<Pass, "config" | "seed" | "scheme">,
): Promise<Qwen3> {
  const model = new Qwen3(livelyWeights(where, seed), config);
  if (scheme !== undefined) await packModel(model, { scheme });
  return model;
}

/** Makes mixtures choose what was chosen before; the weights are still those of the logits. */
export function forceRouting(model: Qwen3, { experts, config }: Pass): void {
  for (const [layer, chosen] of experts) {
    const { mlp } = model.layers[layer];
    if (!(mlp instanceof MoELayer)) throw new Error(`layer ${layer} must be a mixture`);
    Object.assign(mlp, { router: forced(model.backend, chosen, config) });
  }
}

function forced(backend: Backend, experts: Int32Array, { normTopkProb, numExpertsPerTok: k }: Qwen3Config): Router {
  return {
    rowWise: true,
    route(logits) {
      const [batch, tokens, numExperts] = logits.shape;
      const scores = reshape(softmax(logits), [batch * tokens * numExperts]);
      const places = experts.map((expert, slot) => Math.floor(slot / k) * numExperts + expert);
      const chosen = gatherRows(scores, tensor(backend, places, [batch, tokens, k]));
      const weights = normTopkProb ? div(chosen, sum(chosen)) : chosen;
      return { logits, weights, experts: tensor(backend, experts, [batch, tokens, k]), dropped: undefined };
    },
  };
}

/**
 * Every layer alone: its result is the next stage; and with the gradient of that stage given, those of its parameters and of its own
 * stage. The head, which begins at the last stage, has the loss's gradients, and the embedding those of stage 0 (and of the head, if tied).
 */
export async function judgeStages(judge: Oracle, pass: Pass, targets: Tensor, tally: Tally): Promise<void> {
  const { config, ids, stages, grads } = pass;
  const [T, D, L] = [ids.length, config.hiddenSize, config.numHiddenLayers];
  const model = await modelOf(judge, pass);
  forceRouting(model, pass);
  const given = (values: readonly number[]): Tensor => tensor(judge, values, [1, T, D]);
  const gradientOf = (stage: number): Tensor => given(grads.get(probeName(stage)) as readonly number[]);
  const check = async (of: ReadonlyMap<string, Tensor>): Promise<void> => {
    for (const [path, grad] of of) {
      expectWithinBounds(path, grads.get(path) ?? [], await judge.inspect(grad), tally);
    }
  };

  const step = stepWithoutCache(judge, sequencePositions(1, T));
  for (const [layer, block] of model.layers.entries()) {
    const x = given(stages[layer]);
    const named = [...parameters(block)].map(([path, weight]) => [`layers.${layer}.${path}`, weight] as const);
    const { value, grads: found } = valueAndGrad(new Map([...named, [probeName(layer), x]]), () => {
      const y = block.forward(x, { step, layer });
      return { loss: sum(reshape(mul(y, gradientOf(layer + 1)), [T * D])), y };
    });
    expectWithinBounds(`layer ${layer}`, stages[layer + 1], await judge.inspect(value.y), tally);
    await check(found);
  }

  const x = given(stages[L]);
  const { embedTokens, norm, lmHead } = model;
  const own = [...parameters(model)].filter(([path]) => !path.startsWith("layers."));
  const { value, grads: found } = valueAndGrad(new Map([...own, [probeName(L), x]]), () => {
    const logits = linear(norm.forward(x), lmHead?.weight ?? embedTokens.weight);
    const loss = nextTokenLoss(logits, targets);
    const embedded = embedTokens.forward(tensor(judge, Int32Array.from(ids), [1, T]));
    const throughLayers = sum(reshape(mul(embedded, gradientOf(0)), [T * D]));
    return { loss: add(loss, reshape(throughLayers, loss.shape)), logits, embedded, own: loss };
  });
  expectWithinBounds("stage 0", stages[0], await judge.inspect(value.embedded), tally);
  expectWithinBounds("logits of the head", pass.logits, await judge.inspect(value.logits), tally);
  expectWithinBounds("loss of the head", pass.loss, await judge.inspect(value.own), tally);
  await check(found);
}
