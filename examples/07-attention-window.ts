// A narrow window in place of full attention, with the ends of paragraphs as global tokens: how well do the two agree? A small model learns
// with full attention a text in which something far behind matters, the first token of the paragraph. Then each layer gets a window.
import {
  Qwen3, Random, disposeAll, markGlobal, noExperts, paragraphTokens, parameters, randomWeights, sequencePositions, weightsFrom, type Qwen3Config, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { AdamW, Trainer, cosineSchedule, train } from "qwen-blocks/train";
import { wasm } from "qwen-blocks/wasm";

const [names, question, end, vocabSize] = [6, 6, 7, 24];
const [contextLength, slidingWindow] = [64, 8];
const random = new Random(1);

/** A name, then a count from anywhere. Now and then a question, whose answer is the name; one in three ends the paragraph. */
function paragraph(): number[] {
  const name = random.integer(names);
  let count = random.integer(16);
  const tokens = [name];
  for (;;) {
    tokens.push(8 + count);
    count = (count + 1) % 16;
    if (random.integer(8) > 0) continue;
    tokens.push(question, name);
    if (random.integer(3) === 0) return [...tokens, end];
    count = 0;
  }
}
const text = (count: number): number[] => Array.from({ length: count }, paragraph).flat();

const config: Qwen3Config = {
  ...{ vocabSize, hiddenSize: 32, intermediateSize: 64, numHiddenLayers: 2, numAttentionHeads: 4, numKeyValueHeads: 2 },
  ...{ headDim: 16, maxPositionEmbeddings: contextLength, rmsNormEps: 1e-6, initializerRange: 0.1 },
  ...{ tieWordEmbeddings: true, attentionBias: false, rope: { ropeType: "default", ropeTheta: 1000 }, ...noExperts },
};
await using backend = await wasm();
const full = new Qwen3(randomWeights(backend, 1, config), config);
const weights = parameters(full);
const [steps, optimizer] = [160, new AdamW(weights)];
const schedule = cosineSchedule({ peak: 1e-2, warmupSteps: 20, totalSteps: steps });
const trainer = new Trainer(full, { optimizer, schedule, routerAuxLossCoef: 0, maxGradNorm: 1 });
let loss = 0;
const learned = Int32Array.from(text(1500));
for await (const report of train(trainer, learned, { steps, contextLength, batchSize: 8, random })) loss = report.loss;
console.log(`trained with full attention: loss ${loss.toFixed(2)}`);

/** The same weights, each layer with a window. */
const windowed = new Qwen3(
  weightsFrom(backend, (path) => weights.get(path)!.retain()),
  { ...config, slidingWindow },
);
const rows = Array.from({ length: 16 }, () => text(contextLength).slice(0, contextLength));
const everywhere = sequencePositions(rows.length, contextLength);
const withGlobals = markGlobal(everywhere, rows.map((row) => paragraphTokens(row, { separators: [[end]] }))); // prettier-ignore

/** Log-probabilities, row by row. */
async function logits(y: Tensor): Promise<number[][]> {
  const data = await y.data();
  y.dispose();
  return Array.from({ length: data.length / vocabSize }, (_, row) => {
    const scores = [...data.subarray(row * vocabSize, (row + 1) * vocabSize)];
    const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0));
    return scores.map((score) => score - total);
  });
}
const best = (row: readonly number[]): number => row.indexOf(Math.max(...row));

const expected = await logits(full.forward(rows, { positions: everywhere }));
const ids = rows.flat();
/** What follows the end of a paragraph, and its name, comes by chance: there no choice of the best token means anything. */
const known = ids.map((_, t) => t).filter((t) => ids[t] !== end && t % contextLength > 0 && ids[t - 1] !== end);
const asked = known.filter((t) => ids[t] === question);
for (const [label, positions] of Object.entries({ "and global tokens": withGlobals, alone: everywhere })) {
  const found = await logits(windowed.forward(rows, { positions }));
  const kl = (t: number): number => expected[t].reduce((sum, log, i) => sum + Math.exp(log) * (log - found[t][i]), 0);
  const divergence = known.reduce((sum, t) => sum + kl(t), 0) / known.length;
  const agreement = (places: readonly number[]): string => {
    const same = places.filter((t) => best(expected[t]) === best(found[t])).length;
    return `${((100 * same) / places.length).toFixed(1)} %`;
  };
  console.log(
    `window of ${slidingWindow} ${label}: KL ${divergence.toFixed(3)} nats, top-1 ${agreement(known)}, of answers ${agreement(asked)}`,
  );
}

optimizer.dispose();
disposeAll({ full, windowed });
