// A router of your own: any object with `route` fits into MoELayer. This one wraps Qwen3's and lets sure tokens visit fewer experts.
import {
  MoELayer,
  Random,
  TopKRouter,
  disposeAll,
  emptySlots,
  fill,
  less,
  maskRows,
  randn,
  randomWeights,
} from "qwen-blocks";
import { routingStatistics, scope, type Router, type Routing, type Tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

/** The k best experts, but none whose weight is under `threshold`. An empty slot names no expert, so it costs no time. */
class ThresholdRouter implements Router {
  readonly rowWise = true; // each token is routed by itself
  readonly #best: TopKRouter;
  readonly #threshold: number;

  constructor(numExpertsPerTok: number, threshold: number) {
    this.#best = new TopKRouter({ numExpertsPerTok, normTopkProb: true });
    this.#threshold = threshold;
  }

  route(logits: Tensor, rowMask?: Tensor): Routing {
    const routing = this.#best.route(logits);
    const kept = emptySlots(routing, less(fill(logits.backend, [], this.#threshold), routing.weights));
    return rowMask ? maskRows(kept, rowMask) : kept;
  }
}

const backend = await cpu();
const sizes = { hiddenSize: 32, moeIntermediateSize: 16, numExperts: 16 };
using x = randn(backend, [2, 64, 32], new Random(2)); // [batch, tokens, hidden]

for (const threshold of [0, 0.1, 0.2]) {
  const router = new ThresholdRouter(4, threshold);
  const moe = new MoELayer(randomWeights(backend, 1, { initializerRange: 0.2 }), { ...sizes, router });
  const { output, routing } = scope(() => moe.forward(x));
  const experts = (await routing.experts.data()).filter((expert) => expert >= 0).length;
  const { idleExperts } = await routingStatistics(routing);
  console.log(
    `threshold ${threshold}: ${(experts / 128).toFixed(2)} experts per token, ${idleExperts} idle, output ${output.toString()}`,
  );
  disposeAll({ moe, output, routing });
}
