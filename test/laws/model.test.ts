// Laws of whole decoders of drawn configurations: chunking, batching and the means of computing change nothing beyond rounding.
import { disposeAll, Qwen3, sequencePositions, type Backend, type Kernels } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { livelyWeights } from "../models/tiny.js";
import { configs } from "./drawn-configs.js";
import { expectNoLeak, expectWithin, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
let composed: Backend;
const primitives = [
  ..."fill cast permute slice writeSlice gatherRows scatterRows unary binary".split(" "),
  ..."select reduce scan topK matmul quantize dequantize".split(" "),
];
beforeAll(async () => {
  backend = await cpu();
  const kernels = Object.fromEntries(primitives.map((name) => [name, backend.kernels[name as keyof Kernels]]));
  composed = { ...backend, kernels: kernels as unknown as Kernels };
});

const text = fc.array(fc.nat(10), { minLength: 1, maxLength: 7 });

async function logits(model: Qwen3, ...args: Parameters<Qwen3["forward"]>): Promise<number[]> {
  const y = model.forward(...args);
  const all = await numbers(y);
  y.dispose();
  return all;
}
/**
 * A logit comes out of at most 3 layers of 40 roundings and the head's 3, each relative to numbers no greater than the largest of its stage;
 * norms bring stages back to 1, so that the largest logit, or 1, is the scale of all.
 */
const boundOf = (all: readonly number[]): number => 123 * u * Math.max(1, ...all.map(Math.abs));

test("any chunking through a cache, any batch with padding, and composites alone give the numbers of one pass", async () => {
  await fc.assert(
    fc.asyncProperty(
      configs,
      text,
      text,
      fc.nat(),
      fc.infiniteStream(fc.nat(9)),
      async (config, one, other, seed, draws) => {
        await expectNoLeak(backend, async () => {
          const model = new Qwen3(livelyWeights(backend, seed), config);
          const alone = await logits(model, [one]);
          const bound = alone.map(() => boundOf(alone));

          using cache = model.makeCache({ capacity: 1 });
          const chunked: number[] = [];
          for (let at = 0; at < one.length;) {
            const count = 1 + ((draws.next().value as number) % 3);
            chunked.push(...(await logits(model, [one.slice(at, at + count)], { cache })));
            at += count;
          }
          expectWithin(chunked, alone, bound);

          const T = Math.max(one.length, other.length);
          const left = (row: number[], filler: number): number[] => [
            ...Array<number>(T - row.length).fill(filler),
            ...row,
          ];
          const mask = [left(one.map(() => 1), 0), left(other.map(() => 1), 0)]; // prettier-ignore
          const positions = sequencePositions(2, T, { mask });
          const batch = await logits(model, [left(one, 7), left(other, 7)], { positions });
          const V = config.vocabSize;
          expectWithin(batch.slice((T - one.length) * V, T * V), alone, bound);

          const plain = new Qwen3(livelyWeights(composed, seed), config);
          expectWithin(await logits(plain, [one]), alone, bound);
          disposeAll(plain);
          cache.dispose();
          disposeAll(model);
        });
      },
    ),
    { numRuns: 30 },
  );
  expect(backend.memory.usage().buffers).toBe(0);
});
