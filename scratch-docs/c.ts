// train, save, resume
import { presets, Qwen3, randomWeights, parameters, disposeAll, Random, scaleConfig, allParameters, configToJson } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { AdamW, cosineSchedule, Trainer, train } from "qwen-blocks/train";
import { encodeTrainingState, loadTrainingState } from "qwen-blocks/io";
import { readFileSync } from "node:fs";
const b = await cpu();
const text = new Uint8Array(readFileSync("README.md"));
const fresh = (seed: number) => {
  const model = new Qwen3(randomWeights(b, seed), presets.toy);
  const optimizer = new AdamW(parameters(model));
  const trainer = new Trainer(model, { optimizer, schedule: cosineSchedule({ peak: 3e-3, warmupSteps: 2, totalSteps: 6 }), routerAuxLossCoef: 0.01, maxGradNorm: 1 });
  return { model, optimizer, trainer };
};
const opts = { batchSize: 4, contextLength: 32 };
const A = fresh(1); const rA = new Random(7); const la: number[] = [];
let saved: Uint8Array | undefined;
for await (const r of train(A.trainer, text, { ...opts, steps: 6, random: rA })) {
  la.push(r.loss); 
  if (r.step === 2) saved = await encodeTrainingState({ model: parameters(A.model), optimizer: A.optimizer.state, state: { steps: A.optimizer.steps, random: { ...rA.state } } });
  console.log(r.step, r.loss, r.auxLoss, r.gradNorm, r.learningRate, r.tokens, [...r.loads.keys()]);
}
const B = fresh(99);
const st = await loadTrainingState(saved!);
const s = st.state as any;
await st.restore({ model: parameters(B.model), optimizer: B.optimizer.state });
B.optimizer.resume(s.steps);
const rB = Random.fromState(s.random);
const lb: number[] = [];
for await (const r of train(B.trainer, text, { ...opts, steps: 6, random: rB })) lb.push(r.loss);
console.log(la, lb);
const u = b.memory.usage();
for (const X of [A, B]) { disposeAll(X.model); X.optimizer.dispose(); }
console.log(u, b.memory.usage());
