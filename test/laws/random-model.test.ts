// Whole decoders of drawn configurations against the oracle: every logit, the loss and every gradient lie within the bound of the error that
// f32 arithmetic may make. Routing is forced to what the backend chose, so that a near-tie cannot cascade.
import {
  div,
  gatherRows,
  MoELayer,
  parameters,
  Qwen3,
  reshape,
  softmax,
  sum,
  tensor,
  valueAndGrad,
  type Backend,
  type Qwen3Config,
  type Router,
  type Routing,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { oracle } from "qwen-blocks/testing";
import { nextTokenLoss } from "qwen-blocks/train";
import fc from "fast-check";
import { expect, test } from "vitest";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";

/** One layer of each kind: worst cases multiply from norm to norm, and after two layers a bound promises little. */
const oneLayer = configs.map((config): Qwen3Config => ({ ...config, numHiddenLayers: 1 }));
const text = fc.array(fc.nat(10), { minLength: 2, maxLength: 5 });

/** Chooses what was chosen before; the weights are still those of the logits. */
function forced(backend: Backend, experts: Int32Array, k: number, { normTopkProb }: Qwen3Config): Router {
  return {
    rowWise: true,
    route(logits) {
      const [batch, tokens, numExperts] = logits.shape;
      const scores = reshape(softmax(logits), [batch * tokens * numExperts]);
      const places = experts.map((expert, slot) => Math.floor(slot / k) * numExperts + expert);
      const chosen = gatherRows(scores, tensor(backend, places, [batch, tokens, k]));
      const weights = normTopkProb ? div(chosen, sum(chosen)) : chosen;
      return { logits, weights, experts: tensor(backend, experts, [batch, tokens, k]), dropped: undefined };
    },
  };
}

function differentiate(model: Qwen3, ids: readonly number[], routings: Map<number, Routing>) {
  return valueAndGrad(parameters(model), () => {
    const logits = model.forward([ids], { routings });
    const targets = tensor(model.backend, Int32Array.from([...ids.slice(1), -100]), [1, ids.length]);
    return { loss: nextTokenLoss(logits, targets), logits, routings };
  });
}

test("logits, loss and every gradient lie within the oracle's bounds", async () => {
  let finite = 0;
  let all = 0;
  await fc.assert(
    fc.asyncProperty(oneLayer, text, fc.nat(1000), async (config, ids, seed) => {
      const [backend, judge] = [await cpu(), oracle("ieee")];
      const [ours, exact] = [
        new Qwen3(livelyWeights(backend, seed), config),
        new Qwen3(livelyWeights(judge, seed), config),
      ];
      const found = differentiate(ours, ids, new Map());
      for (const [layer, { experts }] of found.value.routings) {
        const { mlp } = exact.layers[layer];
        expect(mlp).toBeInstanceOf(MoELayer);
        const router = forced(judge, (await experts.data()) as Int32Array, experts.shape[2], config);
        Object.assign(mlp, { router });
      }
      const expected = differentiate(exact, ids, new Map());
      const within = async (name: string, x: Tensor, y: Tensor): Promise<void> => {
        const [values, estimate] = [await x.data(), await judge.inspect(y)];
        values.forEach((value, i) => {
          all++;
          if (!Number.isFinite(estimate.bound[i])) return;
          finite++;
          if (Math.abs(value - estimate.value[i]) <= estimate.bound[i]) return;
          throw new Error(
            `${name}[${i}] is ${value}, ${Math.abs(value - estimate.value[i])} off where ${estimate.bound[i]} is allowed`,
          );
        });
      };
      await within("logits", found.value.logits, expected.value.logits);
      await within("loss", found.value.loss, expected.value.loss);
      for (const [path, grad] of found.grads) await within(path, grad, expected.grads.get(path) as Tensor);
    }),
    { numRuns: 12 },
  );
  // A bound of infinity promises nothing; most numbers must have a better one.
  expect(finite / all).toBeGreaterThan(0.5);
});
