// A mixture of experts, and what its load-balancing loss does: gradient descent on that loss alone evens out who gets the tokens.
import { MoELayer, Random, TopKRouter, add, disposeAll, loadBalancingLoss, parameters, randn } from "qwen-blocks";
import { randomWeights, routingStatistics, scope, valueAndGrad } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { AdamW } from "qwen-blocks/train";

const backend = await cpu();
const moe = new MoELayer(randomWeights(backend, 1, { initializerRange: 0.2 }), {
  hiddenSize: 32,
  moeIntermediateSize: 16,
  numExperts: 16,
  router: new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true }),
});
// [batch, tokens, hidden]; all tokens have something in common, so the router finds some experts good for everyone.
using x = scope(() => add(randn(backend, [4, 64, 32], new Random(2)), 1));

async function show(when: string): Promise<void> {
  const routing = scope(() => moe.forward(x).routing);
  const { maxOverMean, idleExperts } = await routingStatistics(routing);
  console.log(`${when}: the busiest expert has ${maxOverMean.toFixed(2)} times the mean load, ${idleExperts} are idle`);
  disposeAll(routing);
}

await show("before");
const gate = parameters(moe.gate); // the router's projection is all that this loss reaches
using optimizer = new AdamW(gate, { weightDecay: 0 });
for (let step = 0; step < 60; step++) {
  scope(() => {
    const { grads } = valueAndGrad(gate, () => ({ loss: loadBalancingLoss([moe.forward(x).routing]) }));
    optimizer.advance(0.02);
    optimizer.apply(grads);
  });
}
await show("after");

disposeAll(moe);
