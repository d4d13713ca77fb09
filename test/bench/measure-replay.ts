// What a command costs beside its kernel: decode steps of a model so narrow that its kernels do next to nothing.
import { DecodeStep, Qwen3, disposeAll, presets, randomWeights, type Backend, type Qwen3Config } from "qwen-blocks";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { open } from "./open.js";
import type { BenchOptions } from "./options.js";
import { quartiles, showQuartiles } from "./quartiles.js";

/** As deep as released models, and as wide as one vector. */
const narrow: Qwen3Config = {
  ...presets.toy,
  ...{ vocabSize: 8, hiddenSize: 4, numHiddenLayers: 28, numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 4 },
  ...{ numExperts: 2, numExpertsPerTok: 1, moeIntermediateSize: 4, maxPositionEmbeddings: 64 },
};
const stepsPerRound = 200;

export async function measureReplay(
  { backend: which, rounds }: BenchOptions,
  print: (line: string) => void,
): Promise<object> {
  await using opened = await open(which);
  const times: Record<"program" | "step" | "forward", number[]> = { program: [], step: [], forward: [] };
  let commands = 0;
  const backend: Backend = {
    ...opened,
    compile(recorded) {
      const replay = opened.compile?.(recorded);
      commands = recorded.length;
      return (
        replay && {
          run: () => times.program.push(timed(() => replay.run())),
          [Symbol.dispose]: () => replay[Symbol.dispose](),
        }
      );
    },
  };
  const model = new Qwen3(randomWeights(backend, 1, narrow), narrow);
  using cache = model.makeCache();
  using step = new DecodeStep(model, cache, (logits) => logits);
  for (let i = 0; i < (rounds + 1) * stepsPerRound; i++) {
    cache.truncateTo(0);
    times.step.push(timed(() => step.run([i % narrow.vocabSize])));
    cache.truncateTo(0);
    times.forward.push(timed(() => model.forward([[i % narrow.vocabSize]], { cache }).dispose()));
  }
  disposeAll(model);
  const microseconds = Object.fromEntries(
    Object.entries(times).map(([what, all]) => {
      const each = all.slice(stepsPerRound).map((time) => (1000 * time) / commands);
      return [what, { ...quartiles(each), fastest: Math.min(...each) }];
    }),
  );
  const facts = {
    commands,
    backend: { name: opened.name, ...opened.info },
    machine: machineFacts(),
    library: libraryVersion(),
  };
  print(`backend   ${showFacts(facts.backend)}\nmachine   ${showFacts(facts.machine)}`);
  print(`${commands} commands a step; microseconds per command, median (quartiles), fastest:`);
  for (const [what, each] of Object.entries(microseconds)) {
    print(`  ${what.padEnd(8)} ${showQuartiles(each)}, ${each.fastest.toPrecision(3)}`);
  }
  return { ...facts, microseconds };
}

function timed(run: () => unknown): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}
