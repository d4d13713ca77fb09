// The same numbers as in a golden folder, computed by this library: each stage of the forward pass, the losses, and every gradient.
import {
  add,
  attention,
  loadBalancingLoss,
  mul,
  parameters,
  permute,
  qkNormRope,
  Qwen3,
  reshape,
  scope,
  stepWithoutCache,
  tensor,
  Tensor,
  valueAndGrad,
  type Backend,
  type Positions,
  type Routing,
} from "qwen-blocks";
import { loadModel, qwen3Names } from "qwen-blocks/io";
import { nextTokenLoss } from "qwen-blocks/train";
import type { Fixture } from "./fixture.js";

export type Computed = ReadonlyMap<string, ArrayLike<number>>;

/** @throws whatever loading the checkpoint throws */
export async function compute(backend: Backend, fixture: Fixture): Promise<Computed> {
  const { config, checkpoint } = fixture;
  const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
  const made = scope(() => new Map([...stages(model, fixture), ...losses(model, fixture)]));
  const computed = new Map<string, ArrayLike<number>>();
  for (const [name, value] of made) computed.set(name, await value.data());
  return computed;
}

function positionsOf({ shape, positionIds, attentionMask }: Fixture): Positions {
  const position = positionIds.map((p, i) => (attentionMask[i] ? p : -1));
  return { shape, position, segment: new Int32Array(position.length) };
}

/** Walks the model part by part, so that the first wrong part can be named. Each part gets what the parts before it made. */
function stages(model: Qwen3, fixture: Fixture): Map<string, Tensor> {
  const { config, shape, inputIds, attentionMask } = fixture;
  const { backend } = model;
  const [batch, tokens] = shape;
  const step = stepWithoutCache(backend, positionsOf(fixture));
  const rowMask = tensor(backend, Uint32Array.from(attentionMask), shape);
  const found = new Map<string, Tensor>();
  const put = (name: string, value: Tensor): Tensor => {
    found.set(`stage.${name}`, value);
    return value;
  };
  // A table that turns nothing shows queries and keys as they are before the rotation.
  const still = tensor(
    backend,
    Float32Array.from({ length: config.headDim }, (_, i) => +(i < config.headDim / 2)),
    [1, config.headDim],
  );
  const firstRow = tensor(backend, new Int32Array(batch * tokens), shape);
  const heads = { numHeads: config.numAttentionHeads, numKvHeads: config.numKeyValueHeads, eps: config.rmsNormEps };
  let x = put("embed", model.embedTokens.forward(tensor(backend, inputIds, shape)));
  model.layers.forEach((block, layer) => {
    const at = (name: string, value: Tensor): Tensor => put(`layers.${layer}.${name}`, value);
    const { selfAttn } = block;
    const normed = at("input_layernorm", block.inputLayernorm.forward(x));
    const qkv = selfAttn.qkvProj.forward(normed);
    const [qWeight, kWeight] = [selfAttn.qNorm?.weight, selfAttn.kNorm?.weight];
    const before = qkNormRope(qkv, qWeight, kWeight, still, firstRow, heads);
    at("self_attn.q_norm", before.q);
    at("self_attn.k_norm", before.k);
    const { q, k, v } = qkNormRope(qkv, qWeight, kWeight, selfAttn.rope.table(step.length), step.rows, heads);
    at("self_attn.q_rope", q);
    at("self_attn.k_rope", k);
    at("self_attn.v", v);
    const pool = [batch * tokens, config.numKeyValueHeads, config.headDim];
    const attrs = { scale: config.headDim ** -0.5, causal: true, window: 0, sinks: 0, softcap: 0 };
    at("self_attn.context", attention(q, reshape(k, pool), reshape(v, pool), step.queries, step.keys, attrs));
    const attended = at("self_attn.o_proj", selfAttn.forward(normed, { step }));
    const second = at("post_attention_layernorm", block.postAttentionLayernorm.forward(add(x, attended)));
    const out = block.mlp.forward(second, { rowMask });
    if (!(out instanceof Tensor)) {
      at("mlp.gate", out.routing.logits);
      at("mlp.routing_weights", out.routing.weights);
      at("mlp.experts", out.routing.experts);
    }
    at("mlp.output", out instanceof Tensor ? out : out.output);
    x = at("output", block.forward(x, { step, rowMask }));
  });
  put("norm", model.norm.forward(x));
  put("logits", model.forward([...rowsOf(inputIds, shape)], { positions: positionsOf(fixture) }));
  return found;
}

/** The losses, and the gradient of the total by every tensor of the checkpoint. */
function losses(model: Qwen3, fixture: Fixture): Map<string, Tensor> {
  const { config, checkpoint, shape, inputIds, attentionMask, labels, routerAuxLossCoef } = fixture;
  const { backend } = model;
  const params = parameters(model);
  const { value, grads } = valueAndGrad(params, () => {
    const routings = new Map<number, Routing>();
    const logits = model.forward([...rowsOf(inputIds, shape)], { positions: positionsOf(fixture), routings });
    const crossEntropy = nextTokenLoss(logits, tensor(backend, shifted(labels, shape), shape));
    if (routings.size === 0) return { loss: crossEntropy, crossEntropy };
    const rowMask = tensor(backend, Uint32Array.from(attentionMask), shape);
    const aux = loadBalancingLoss(routings, { rowMask });
    return { loss: add(crossEntropy, mul(aux, routerAuxLossCoef)), crossEntropy, aux };
  });
  const found = new Map([
    ["loss.cross_entropy", value.crossEntropy],
    ["loss.total", value.loss],
  ]);
  if ("aux" in value) found.set("loss.aux", value.aux as Tensor);
  for (const [path, grad] of grads) {
    let from = 0;
    for (const { key, shape, swapped } of qwen3Names(config).find(path, grad.shape, checkpoint.tensors)) {
      const piece = grad.window(swapped ? [shape[0], shape[2], shape[1]] : shape, "f32", from);
      found.set(`grad.${key}`, swapped ? permute(piece, [0, 2, 1]) : piece);
      from += piece.size;
    }
  }
  return found;
}

function* rowsOf(ids: Int32Array, [batch, tokens]: readonly [number, number]): Generator<Int32Array> {
  for (let row = 0; row < batch; row++) yield ids.subarray(row * tokens, (row + 1) * tokens);
}

/** Labels stand with the token they are; targets stand with the token before. */
function shifted(labels: Int32Array, [batch, tokens]: readonly [number, number]): Int32Array {
  return labels.map((_, i) => ((i + 1) % tokens === 0 || i + 1 >= batch * tokens ? -100 : labels[i + 1]));
}
