// Trains the same small decoder with every router, on the same windows of the same text, and notes what the routers do.
import { Random, RoutingHistory, add, disposeAll, loadBalancingLoss, mul, parameters, scope, tensor, valueAndGrad } from "qwen-blocks"; // prettier-ignore
import type { Backend, Routing } from "qwen-blocks";
import { AdamW, batchesInOrder, clipScale, cosineSchedule, evaluate, globalNorm, nextTokenLoss, sampleBatch, type Batch } from "qwen-blocks/train"; // prettier-ignore
import type { Text } from "../train-toy/text.js";
import { contenders, type Contender } from "./contenders.js";
import { SmallDecoder, sizes } from "./model.js";

export interface Recipe {
  readonly steps: number;
  readonly seed: number;
  readonly contextLength: number;
  readonly batchSize: number;
  /** Batches of held-out text. */
  readonly heldOut: number;
}

export const recipe: Recipe = { steps: 120, seed: 1, contextLength: 64, batchSize: 6, heldOut: 12 };

export interface Run {
  readonly contender: Contender;
  /** Cross entropy in nats, by step. */
  readonly losses: readonly number[];
  /** The load-balancing loss, by step, whether it was trained or not. */
  readonly balances: readonly number[];
  readonly history: RoutingHistory;
  /** Nats per token. */
  readonly heldOut: number;
}

export async function compareRouters(
  backend: Backend,
  text: Text,
  recipe: Recipe,
  print: (line: string) => void,
): Promise<Run[]> {
  const runs: Run[] = [];
  for (const contender of contenders) {
    const run = await trainWith(contender, backend, text, recipe);
    print(`${contender.name.padEnd(22)} ${run.heldOut.toFixed(3)} nats per held-out token`);
    runs.push(run);
  }
  return runs;
}

async function trainWith(contender: Contender, backend: Backend, text: Text, recipe: Recipe): Promise<Run> {
  const { steps, seed } = recipe;
  const steered = Array.from({ length: sizes.numHiddenLayers }, () => contender.make(backend));
  const model = new SmallDecoder(backend, seed, steered.map(({ router }) => router)); // prettier-ignore
  const weights = parameters(model);
  const optimizer = new AdamW(weights);
  const schedule = cosineSchedule({ peak: 0.01, warmupSteps: Math.floor(steps / 10), totalSteps: steps });
  const windows = new Random(seed).fork("windows");
  const history = new RoutingHistory();
  const losses: number[] = [];
  const balances: number[] = [];
  for (let step = 0; step < steps; step++) {
    const batch = sampleBatch(text.training, recipe, windows);
    const { value, grads } = valueAndGrad(weights, () => lossOf(model, batch, contender.balance));
    scope(() => {
      optimizer.advance(schedule(step));
      optimizer.apply(grads, clipScale(globalNorm(grads), 1));
    });
    await history.add(step, value.routings);
    losses.push((await value.crossEntropy.data())[0]);
    balances.push((await value.balance.data())[0]);
    steered.forEach(({ after }, layer) => {
      const [statistics] = history.records.slice(layer - steered.length);
      after?.(value.routings.get(layer) as Routing, statistics);
    });
    disposeAll({ value, grads });
  }
  const unseen = [...batchesInOrder(text.heldOut, recipe)].slice(0, recipe.heldOut);
  const heldOut = await evaluate(model, unseen);
  optimizer.dispose();
  disposeAll(model);
  return { contender, losses, balances, history, heldOut };
}

function lossOf(model: SmallDecoder, { inputs, targets, shape: [rows, length] }: Batch, coefficient: number) {
  const routings = new Map<number, Routing>();
  const texts = Array.from({ length: rows }, (_, row) => inputs.subarray(row * length, (row + 1) * length));
  const logits = model.forward(texts, { routings });
  const crossEntropy = nextTokenLoss(logits, tensor(model.backend, targets, [rows, length]));
  const balance = loadBalancingLoss(routings);
  const loss = coefficient === 0 ? crossEntropy : add(crossEntropy, mul(balance, coefficient));
  return { loss, crossEntropy, balance, routings };
}
