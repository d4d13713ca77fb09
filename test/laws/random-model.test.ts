// Whole decoders of drawn configurations, their matrices plain or packed, against the oracle, on every backend: every logit, the loss and every
// gradient lie within the bound of the error that f32 arithmetic may make. Worst cases multiply from layer to layer, so the same pass is also
// judged layer by layer, each from the very numbers that the backend had there (before it going forward, behind it going back): those bounds
// are as tight in the last layer as in the first. Routing is forced to what the backend chose, so that a near-tie cannot cascade.
import { disposeAll, parameters, tensor, valueAndGrad, type Backend, type Routing, type Tensor } from "qwen-blocks"; // prettier-ignore
import { oracle, type Oracle } from "qwen-blocks/testing";
import { nextTokenLoss } from "qwen-blocks/train";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { availableBackends, runs } from "../available-backends.js";
import { configs } from "./drawn-configs.js";
import { expectWithinBounds, Tally } from "./expect-same.js";
import { forceRouting, judgeStages, modelOf, numbersOf, probed, type Pass } from "./stages.js";

/** Schemes without blocks: the widths of small models are no multiples of 32. packed-model.test.ts has the others. */
const stored = fc.constantFrom(undefined, undefined, "f16", "bf16");
const text = fc.array(fc.nat(10), { minLength: 2, maxLength: 5 });

const targetsOf = (where: Backend, ids: readonly number[]): Tensor =>
  tensor(where, Int32Array.from([...ids.slice(1), -100]), [1, ids.length]);

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  /** The pass on the backend, with what it had between the layers. */
  async function passOf(given: Pick<Pass, "config" | "ids" | "seed" | "scheme">): Promise<Pass> {
    const { ids } = given;
    const model = await modelOf(backend, given);
    const { stages, probes } = probed(model, ids.length);
    const params = new Map([...parameters(model), ...probes]);
    const { value, grads } = valueAndGrad(params, () => {
      const routings = new Map<number, Routing>();
      const logits = model.forward([ids], { routings });
      return { loss: nextTokenLoss(logits, targetsOf(backend, ids)), logits, routings };
    });
    const experts = new Map<number, Int32Array>();
    for (const [layer, routing] of value.routings) experts.set(layer, (await routing.experts.data()) as Int32Array);
    const pass: Pass = {
      ...given,
      experts,
      logits: await numbersOf(value.logits),
      loss: await numbersOf(value.loss),
      stages: await Promise.all(stages.map(numbersOf)),
      grads: new Map(await Promise.all([...grads].map(async ([path, grad]) => [path, await numbersOf(grad)] as const))),
    };
    const { routings, ...outputs } = value;
    for (const made of [...Object.values(outputs), ...grads.values(), ...stages, ...probes.values()]) made.dispose();
    for (const routing of routings.values()) for (const made of Object.values(routing)) (made as Tensor | undefined)?.dispose(); // prettier-ignore
    disposeAll(model);
    return pass;
  }

  /** The same pass on the oracle, from the ids on. */
  async function judgeWhole(judge: Oracle, pass: Pass, forward: Tally, backward: Tally): Promise<void> {
    const { ids } = pass;
    const model = await modelOf(judge, pass);
    forceRouting(model, pass);
    const { value, grads } = valueAndGrad(parameters(model), () => {
      const logits = model.forward([ids]);
      return { loss: nextTokenLoss(logits, targetsOf(judge, ids)), logits };
    });
    expectWithinBounds("logits", pass.logits, await judge.inspect(value.logits), forward);
    expectWithinBounds("loss", pass.loss, await judge.inspect(value.loss), forward);
    for (const [path, grad] of grads) {
      expectWithinBounds(path, pass.grads.get(path) ?? [], await judge.inspect(grad), backward);
    }
  }

  test("logits, loss and every gradient lie within the oracle's bounds, as a whole and layer by layer", async () => {
    const [forward, backward, byLayer] = [new Tally(), new Tally(), new Tally()];
    await fc.assert(
      fc.asyncProperty(configs, text, fc.nat(1000), stored, async (config, ids, seed, scheme) => {
        const pass = await passOf({ config, ids, seed, scheme });
        const judge = oracle(backend.features.accuracy);
        await judgeWhole(judge, pass, forward, backward);
        await judgeStages(judge, pass, targetsOf(judge, ids), byLayer);
      }),
      { numRuns: runs(20) },
    );
    for (const tally of [forward, backward, byLayer]) tally.expectMost();
  });
});
