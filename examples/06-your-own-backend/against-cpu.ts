// One step of a tiny mixture of experts on a backend and on the CPU backend: how far the results are apart, and how each op ran.
import { MoELayer, Random, TopKRouter, disposeAll, mul, parameters, randn, randomWeights, sum } from "qwen-blocks";
import { trace, valueAndGrad, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

type Numbers = ArrayLike<number>;

/** Forward and backward: output, loss and every gradient by name, and how often each op ran by which means. */
async function step(backend: Backend) {
  const moe = new MoELayer(randomWeights(backend, 1, { initializerRange: 0.2 }), {
    hiddenSize: 16,
    moeIntermediateSize: 8,
    numExperts: 8,
    router: new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true }),
  });
  using x = randn(backend, [2, 8, 16], new Random(2)); // [batch, tokens, hidden]
  const { result, counts } = trace(() =>
    valueAndGrad(parameters(moe), () => {
      const { output } = moe.forward(x);
      return { output, loss: sum(mul(output, output), [0, 1, 2]) };
    }),
  );
  const { output, loss } = result.value;
  const results = new Map<string, Numbers>();
  for (const [name, tensor] of [["output", output], ["loss", loss], ...result.grads] as const) {
    results.set(name, await tensor.data());
    tensor.dispose();
  }
  disposeAll(moe);
  return { results, counts };
}

/** The largest difference, relative to the largest number expected. */
function errorOf(got: Numbers, expected: Numbers): number {
  const errors = Array.from(expected, (number, i) => Math.abs(got[i] - number));
  return Math.max(...errors) / Math.max(...Array.from(expected, Math.abs));
}

export interface Comparison {
  /** By result: the largest difference from the CPU backend's, relative to the largest number in it. */
  readonly errors: ReadonlyMap<string, number>;
  /** Ops that ran as a kernel of the backend. */
  readonly native: readonly string[];
  /** Ops that the library put together out of smaller ones. */
  readonly composed: readonly string[];
}

export async function compareWithCpu(backend: Backend): Promise<Comparison> {
  await using reference = await cpu();
  const { results, counts } = await step(backend);
  const expected = (await step(reference)).results;
  const ops = Object.keys(counts);
  return {
    errors: new Map([...expected].map(([name, numbers]) => [name, errorOf(results.get(name)!, numbers)])),
    native: ops.filter((op) => counts[op].native > 0),
    composed: ops.filter((op) => counts[op].composed > 0),
  };
}
