// Batches: windows of the text with the next token as target, the same again after a resume, and every held-out token once.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError, FormatError } from "../../src/core/errors.js";
import { Random } from "../../src/core/random.js";
import { batchesInOrder, sampleBatch, splitTokens, type Batch } from "../../src/train/data.js";

const texts = fc.integer({ min: 2, max: 300 }).map((length) => Int32Array.from({ length }, (_, i) => 1000 + i));
const sizes = fc.record({ contextLength: fc.integer({ min: 1, max: 40 }), batchSize: fc.integer({ min: 1, max: 6 }) });
const fitting = fc.tuple(texts, sizes).filter(([tokens, { contextLength }]) => tokens.length > contextLength);

describe("sampleBatch", () => {
  it("cuts windows out of the text, each token followed by its target", () => {
    fc.assert(
      fc.property(fitting, fc.nat(), ([tokens, options], seed) => {
        const batch = sampleBatch(tokens, options, new Random(seed));
        expect(batch.shape).toEqual([options.batchSize, options.contextLength]);
        expect(batch.counted).toBe(options.batchSize * options.contextLength);
        batch.inputs.forEach((token, i) => {
          expect(tokens).toContain(token);
          expect(batch.targets[i]).toBe(token + 1);
          if (i % options.contextLength !== 0) expect(token).toBe(batch.inputs[i - 1] + 1);
        });
      }),
    );
  });

  it("goes on after a resume as if there had been none", () => {
    const tokens = Uint8Array.from({ length: 500 }, (_, i) => (i * 37) % 251);
    const options = { contextLength: 16, batchSize: 4 };
    const random = new Random(3);
    sampleBatch(tokens, options, random);
    const state = random.state;
    expect(state.counter).toBe(4);
    const went = sampleBatch(tokens, options, random);
    expect(sampleBatch(tokens, options, Random.fromState(state))).toEqual(went);
  });

  it("reaches the first and the last window", () => {
    const tokens = Uint8Array.of(0, 1, 2, 3);
    const { inputs } = sampleBatch(tokens, { contextLength: 2, batchSize: 200 }, new Random(1));
    expect(new Set(inputs.filter((_, i) => i % 2 === 0))).toEqual(new Set([0, 1]));
  });
});

describe("batchesInOrder", () => {
  it("has every token but the first as a target once, in order", () => {
    fc.assert(
      fc.property(fitting, ([tokens, options]) => {
        const batches = batchesInOrder(tokens, options);
        const pairs = [...batches].flatMap(countedPairs);
        expect(pairs).toEqual([...tokens.subarray(1)].map((target) => [target - 1, target]));
        expect([...batches]).toHaveLength(batches.length); // and it can be read again
        for (const batch of batches) {
          expect(batch.inputs).toHaveLength(options.batchSize * options.contextLength);
          expect(countedPairs(batch)).toHaveLength(batch.counted);
          expect(batch.counted).toBeGreaterThan(0);
        }
      }),
    );
  });
});

describe("splitTokens", () => {
  it("cuts the end off without copying", () => {
    const tokens = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    const { training, validation } = splitTokens(tokens, 0.25);
    expect([...training]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect([...validation]).toEqual([9, 10]);
    expect(validation.buffer).toBe(tokens.buffer);
    expect(splitTokens(tokens, 0).training).toHaveLength(10);
  });
});

describe("text that cannot be used", () => {
  const options = { contextLength: 4, batchSize: 2 };

  it("is refused", () => {
    expect(() => splitTokens(new Uint8Array(0), 0.1)).toThrow(FormatError);
    for (const length of [0, 1, 4]) {
      expect(() => sampleBatch(new Uint8Array(length), options, new Random(0))).toThrow(FormatError);
      expect(() => batchesInOrder(new Uint8Array(length), options)).toThrow(FormatError);
    }
    expect(sampleBatch(new Uint8Array(5), options, new Random(0)).counted).toBe(8);
  });

  it("and so are options out of range", () => {
    const tokens = new Uint8Array(10);
    for (const fraction of [-0.1, 1, NaN]) expect(() => splitTokens(tokens, fraction)).toThrow(ConfigError);
    expect(() => sampleBatch(tokens, { ...options, batchSize: 0 }, new Random(0))).toThrow("batchSize");
    expect(() => batchesInOrder(tokens, { ...options, contextLength: 1.5 })).toThrow("contextLength");
  });
});

function countedPairs({ inputs, targets }: Batch): [number, number][] {
  return [...inputs].map((input, i): [number, number] => [input, targets[i]]).filter(([, target]) => target !== -100);
}
