// Runs in a page: milliseconds of a few ops and of a small model on one backend, each with the read that ends it.
import { DecodeStep, linear, parameters, presets, Qwen3, Random, randn, randomWeights, scope, softmax, topK } from "qwen-blocks"; // prettier-ignore
import type { Tensor } from "qwen-blocks";
import { AdamW, sampleBatch, Trainer } from "qwen-blocks/train";
import { opened } from "../browser/suite.js";
import { median } from "./quartiles.js";

export * from "../browser/suite.js";

const config = presets.toy;
const prompt = Array.from({ length: 64 }, (_, i) => (i * i) % 256);

/** Medians of `runs`, after one that is not counted. On the backend that is open. */
export async function speeds(runs: number): Promise<Readonly<Record<string, number>>> {
  const backend = opened();
  const random = new Random(1);
  const found: Record<string, number> = {};
  const time = async (name: string, call: () => Promise<unknown>): Promise<void> => {
    const times: number[] = [];
    for (let i = 0; i <= runs; i++) {
      const start = performance.now();
      await call();
      if (i > 0) times.push(performance.now() - start);
    }
    found[name] = median(times);
  };
  const read = async (make: () => Tensor): Promise<void> => {
    const y = scope(make);
    await y.data();
    y.dispose();
  };
  const weight = randn(backend, [512, 512], random);
  for (const rows of [1, 16, 128]) {
    const x = randn(backend, [rows, 512], random);
    await time(`linear ${rows} x 512 x 512`, () => read(() => linear(x, weight)));
    x.dispose();
  }
  const wide = randn(backend, [64, 1024], random);
  await time("softmax 64 x 1024", () => read(() => softmax(wide)));
  wide.dispose();
  weight.dispose();
  const model = new Qwen3(randomWeights(backend, 1, config), config);
  await time("toy, prefill of 64 tokens", () => read(() => model.forward([prompt], { logits: "last" })));
  const cache = model.makeCache({ capacity: 128 });
  const step = new DecodeStep(model, cache, (logits) => topK(logits, 1).indices);
  await time("toy, a token", () => step.run([1]).data());
  const optimizer = new AdamW(parameters(model));
  const trainer = new Trainer(model, { optimizer, schedule: () => 1e-3, routerAuxLossCoef: 0.001 });
  const text = Uint8Array.from({ length: 400 }, (_, i) => (i * 7) % 256);
  const batch = sampleBatch(text, { contextLength: 32, batchSize: 2 }, random);
  await time("toy, a training step of 2 x 32", () => trainer.step([batch]));
  return found;
}
