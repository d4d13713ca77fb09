// Inputs of products in 8 bits, symmetric or not, per token or per block: within half a step, every token by itself, prefill = decoding.
import { disposeAll, Qwen3, setActivations, slice, tensor, type Backend } from "qwen-blocks";
import { FakeQuant, int8, packModel } from "qwen-blocks/quant";
import { describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { expectNoLeak, numbers } from "../tensor/numbers.js";

const ways = ([false, true] as const).flatMap((affine) =>
  (["row", 32, 5] as const).map((group) => int8({ affine, group })),
);

describe.each(availableBackends)("$name", ({ open }) => {
  test.each(ways)("$name: half a step off at most, and rows know nothing of each other", async (scheme) => {
    const backend: Backend = await open();
    const rounding = new FakeQuant(scheme);
    const x = Float32Array.from({ length: 3 * 40 }, (_, i) => Math.sin(i * i) * (i < 40 ? 100 : 1) + (i > 80 ? 3 : 0));
    const y = await numbers(rounding.forward(tensor(backend, x, [3, 40])));
    const size = typeof scheme.group === "number" ? scheme.group : 40;
    y.forEach((value, i) => {
      const from = i - (i % 40) + size * Math.floor((i % 40) / size);
      const group = [...x.subarray(from, Math.min(from + size, i - (i % 40) + 40)), 0];
      const [low, high] = [Math.min(...group), Math.max(...group)];
      const step = scheme.affine ? (high - low) / 255 : Math.max(high, -low) / 127;
      // The end of the codes may lie short by what an f16 scale is short: 2^-11 of 127 or 255 steps; a zero point is off by half a step.
      const bound = step * (0.5 + (scheme.affine ? 0.5 : 0) + 255 * 2 ** -11);
      expect(Math.abs(value - x[i])).toBeLessThanOrEqual(bound);
    });
    const alone = await numbers(rounding.forward(tensor(backend, x.slice(40, 80), [1, 40])));
    expect(alone).toEqual(y.slice(40, 80));
    await backend[Symbol.asyncDispose]();
  });
});

test.each(ways)("$name: a packed model decodes as it prefills, experts included", async (scheme) => {
  const backend = await availableBackends[0].open();
  await expectNoLeak(backend, async () => {
    const model = new Qwen3(livelyWeights(backend, 2), tinyConfig());
    const activations = new FakeQuant(scheme);
    await packModel(model, { scheme: "int8", activations });
    const ids = [1, 2, 3, 4, 5];
    const whole = model.forward([ids]);
    const last = slice(whole, [0, 4, 0], [1, 1, 11]);
    const cache = model.makeCache({ maxLength: 8 });
    model.forward([ids.slice(0, 4)], { cache }).dispose();
    const step = model.forward([[5]], { cache });
    // The same products over the same rounded rows; attention may add in another order.
    const [a, b] = [await numbers(last), await numbers(step)];
    a.forEach((value, i) => expect(Math.abs(value - b[i])).toBeLessThan(1e-4 * (1 + Math.abs(value))));
    setActivations(model, "f32");
    for (const made of [whole, last, step]) made.dispose();
    cache[Symbol.dispose]();
    disposeAll(model);
  });
});
