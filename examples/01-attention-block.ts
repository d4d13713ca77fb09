// One decoder block, put together by hand: attention with QK-norm and RoPE, then a dense feed-forward. Causality is checked at the end.
import { Attention, DecoderBlock, Random, SwigluMlp, disposeAll, randn, randomWeights } from "qwen-blocks";
import { scope, sequencePositions, tensor, type Tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const [hiddenSize, headDim, rmsNormEps] = [64, 16, 1e-6];
const weights = randomWeights(backend, 1);

const block = new DecoderBlock(weights, {
  hiddenSize,
  rmsNormEps,
  selfAttn: new Attention(weights.at("selfAttn"), {
    hiddenSize,
    numAttentionHeads: 4,
    numKeyValueHeads: 2, // two query heads share one head of keys and values
    headDim,
    qkNorm: true,
    rmsNormEps,
    rope: { ropeType: "default", ropeTheta: 10_000 },
  }),
  mlp: new SwigluMlp(weights.at("mlp"), { hiddenSize, intermediateSize: 192 }),
});

const tokens = 6;
const positions = sequencePositions(1, tokens);
/** What the block makes of x; everything it made on the way is freed. */
const run = (x: Tensor): Tensor => scope(() => block.forward(x, { positions }));

using x = randn(backend, [1, tokens, hiddenSize], new Random(2)); // [batch, tokens, hidden]
using y = run(x);
console.log(`block: ${x.toString()} -> ${y.toString()}`);

// Another last token: what comes before it must not notice.
const numbers = (await x.data()) as Float32Array;
using changed = tensor(
  backend,
  Float32Array.from(numbers, (n, i) => (i < (tokens - 1) * hiddenSize ? n : -n)),
  x.shape,
);
using z = run(changed);
const [before, after] = [await y.data(), await z.data()];
const sees = Array.from({ length: tokens }, (_, t) => before[t * hiddenSize] !== after[t * hiddenSize]);
console.log(`tokens that see the last one: ${sees.map((yes, t) => (yes ? t : "")).join("")}, of 0 to ${tokens - 1}`);

disposeAll(block);
