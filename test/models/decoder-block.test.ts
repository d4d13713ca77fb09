// One layer: two residual sums around attention and feed-forward, and the routing it hands out.
import {
  add, Attention, DecoderBlock, MoELayer, randomWeights, RmsNorm, sequencePositions, SwigluMlp, TopKRouter, type Backend, type FeedForward,
  type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, mask, normal, numbers, u, usage } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const [hiddenSize, rmsNormEps] = [6, 1e-6];
function blockOf(mlp: (w: ReturnType<typeof randomWeights>) => FeedForward): DecoderBlock {
  const w = randomWeights(backend, 4, { initializerRange: 0.5 });
  const selfAttn = new Attention(w.at("selfAttn"), { hiddenSize, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 4, qkNorm: true, rmsNormEps, rope: { ropeType: "default", ropeTheta: 10 } }); // prettier-ignore
  selfAttn.rope.table(1);
  return new DecoderBlock(w, { hiddenSize, rmsNormEps, selfAttn, mlp: mlp(w.at("mlp")) });
}
const dense = (): DecoderBlock => blockOf((w) => new SwigluMlp(w, { hiddenSize, intermediateSize: 5 }));
const sparse = (): DecoderBlock =>
  blockOf((w) => new MoELayer(w, { hiddenSize, moeIntermediateSize: 3, numExperts: 4, router: new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true }) })); // prettier-ignore
const x = (): Tensor => normal(backend, 1, [2, 3, hiddenSize]);
const positions = sequencePositions(2, 3);

describe("DecoderBlock", () => {
  test.each([
    ["dense", dense],
    ["sparse", sparse],
  ] as const)("%s: x + attention(norm x), then + mlp(norm)", async (_, make) => {
    // prettier-ignore
    const block = make();
    const input = x();
    const middle = add(input, block.selfAttn.forward(block.inputLayernorm.forward(input), { positions }));
    const out = block.mlp.forward(block.postAttentionLayernorm.forward(middle));
    const expected = await numbers(add(middle, "output" in out ? out.output : out));
    // The fused sum and norm may round once less each: 4 roundings of numbers below 50.
    expectWithin(await numbers(block.forward(input, { positions })), expected, expected.map(() => 4 * u * 50)); // prettier-ignore
  });

  test.each([
    ["dense", dense],
    ["sparse", sparse],
  ] as const)("%s: forwardNormed gives the bits of forward and of the next norm", async (_, make) => {
    const block = make();
    const next = new RmsNorm(randomWeights(backend, 9, { initializerRange: 0.5 }), { size: hiddenSize, rmsNormEps });
    const input = x();
    const before = usage(backend)[0];
    const stream = block.forwardNormed({ x: input, normed: block.inputLayernorm.forward(input) }, next, { positions });
    const y = block.forward(input, { positions });
    const normed = next.forward(y);
    expect(await numbers(stream.x)).toEqual(await numbers(y));
    expect(await numbers(stream.normed)).toEqual(await numbers(normed));
    expect(usage(backend)[0]).toBe(before + 5);
  });

  test("frees all but its result, with and without a routing", () => {
    const block = sparse();
    const input = x();
    const before = usage(backend)[0];
    const y = block.forward(input, { positions });
    expect(usage(backend)[0]).toBe(before + 1);
    const routings = new Map<number, Routing>();
    const z = block.forward(input, { positions, routings });
    expect([...routings.keys()]).toEqual([0]);
    for (const each of [y, z, ...routings.values()].flatMap((r) => ("logits" in r ? [r.logits, r.weights, r.experts] : [r]))) each.dispose(); // prettier-ignore
    expect(usage(backend)[0]).toBe(before);
  });

  test("the row mask reaches the mixture; a dense block has no routing", async () => {
    const routings = new Map<number, Routing>();
    const rowMask = mask(backend, [1, 0, 1, 1, 1, 0], [2, 3]);
    sparse().forward(x(), { positions, rowMask, routings });
    const experts = await numbers((routings.get(0) as Routing).experts);
    expect(experts.map((e) => e >= 0)).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0].map(Boolean));
    const none = new Map<number, Routing>();
    dense().forward(x(), { positions, rowMask, routings: none });
    expect(none.size).toBe(0);
  });
});
