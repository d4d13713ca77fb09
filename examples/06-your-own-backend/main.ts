// Judges the backend beside it: the laws of qwen-blocks/testing, a mixture of experts against the CPU backend, and which ops are composed.
import {
  MoELayer,
  Random,
  TopKRouter,
  disposeAll,
  mul,
  parameters,
  randn,
  randomWeights,
  scope,
  sum,
  trace,
  valueAndGrad,
  type Backend,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { conformanceCases } from "qwen-blocks/testing";
import { plain } from "./backend.js";

/** A tiny mixture of experts, forward and backward: every result by name, and how often each op ran by which means. */
async function train(backend: Backend) {
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
  const numbers = new Map<string, ArrayLike<number>>();
  for (const [name, tensor] of [["output", output], ["loss", loss], ...result.grads] as const) {
    numbers.set(name, await tensor.data());
    tensor.dispose();
  }
  disposeAll(moe);
  return { numbers, counts };
}

/** The largest error of any result, relative to the largest number in it. */
function largestError(of: ReadonlyMap<string, ArrayLike<number>>, as: ReadonlyMap<string, ArrayLike<number>>): number {
  const errors = [...as].map(([name, expected]) => {
    const got = of.get(name)!;
    const scale = Math.max(...Array.from(expected, Math.abs));
    return Math.max(...Array.from(expected, (number, i) => Math.abs(got[i] - number) / scale));
  });
  return Math.max(...errors);
}

const mine = plain();
const cases = conformanceCases(mine, { runs: 20 });
const broken: string[] = [];
for (const { name, run } of cases) {
  await run().catch((error: unknown) => broken.push(`${name}: ${error instanceof Error ? error.message : error}`));
}
console.log(`${mine.name}: ${cases.length - broken.length} of ${cases.length} laws hold`);
for (const line of broken) console.log(line);

await using reference = await cpu();
const { numbers, counts } = await train(mine);
const error = largestError(numbers, (await train(reference)).numbers);
console.log(
  `mixture of experts: output and ${numbers.size - 2} gradients differ from cpu's by ${error.toExponential(1)}`,
);
const named = (means: "native" | "composed"): string =>
  Object.keys(counts)
    .filter((op) => counts[op][means] > 0)
    .join(", ");
console.log(`  ran natively: ${named("native")}\n  were composed: ${named("composed")}`);
await mine[Symbol.asyncDispose]();
