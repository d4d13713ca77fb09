// A mixture of toy size, whose pass and training are compared between backends, in Node and in a page.
import { disposeAll, parameters, Qwen3, Random, tensor, valueAndGrad, type Backend } from "qwen-blocks";
import { AdamW, nextTokenLoss, train, Trainer } from "qwen-blocks/train";
import { livelyWeights, tinyConfig } from "../models/tiny.js";

const config = tinyConfig();
const ids = [1, 5, 2, 9, 3];

/** Logits, loss and every gradient, by name; by `read`, since the oracle's tensors say more than their numbers. */
export async function pass<T>(
  backend: Backend,
  read: (y: ReturnType<Qwen3["forward"]>) => Promise<T>,
): Promise<Readonly<Record<string, T>>> {
  const model = new Qwen3(livelyWeights(backend, 1), config);
  const targets = tensor(backend, Int32Array.from([...ids.slice(1), -100]), [1, ids.length]);
  const { value, grads } = valueAndGrad(parameters(model), () => {
    const logits = model.forward([ids]);
    return { loss: nextTokenLoss(logits, targets), logits };
  });
  const all = [...Object.entries(value), ...grads];
  const numbers: Record<string, T> = {};
  for (const [name, made] of all) {
    numbers[name] = await read(made);
    made.dispose();
  }
  targets.dispose();
  disposeAll(model);
  return numbers;
}

/** The losses of training steps on a text of period 4. @param onStep called after each */
export async function losses(backend: Backend, steps: number, onStep: () => void = () => {}): Promise<number[]> {
  const model = new Qwen3(livelyWeights(backend, 2), config);
  const optimizer = new AdamW(parameters(model));
  const trainer = new Trainer(model, { optimizer, schedule: () => 1e-2, routerAuxLossCoef: 0.01 });
  const text = Uint8Array.from({ length: 200 }, (_, i) => [1, 5, 2, 9][i % 4]);
  const found: number[] = [];
  for await (const { loss } of train(trainer, text, { steps, contextLength: 8, batchSize: 2, random: new Random(1) })) {
    found.push(loss);
    onStep();
  }
  disposeAll(optimizer);
  disposeAll(model);
  return found;
}
