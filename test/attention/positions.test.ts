// Positions on the host, and the tables made of them.
import { IndexError, sequencePositions, ShapeError, stepWithoutCache, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectNoLeak, numbers, usage } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

describe("sequencePositions", () => {
  test("counts what the mask lets through, from where a cache ends", () => {
    expect([...sequencePositions(2, 3).position]).toEqual([0, 1, 2, 0, 1, 2]);
    const mask = [[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 1]]; // prettier-ignore
    const made = sequencePositions(3, 4, { start: [5, 0, 7], mask });
    expect(made.shape).toEqual([3, 4]);
    expect([...made.position]).toEqual([-1, -1, 5, 6, 0, 1, -1, -1, 7, -1, -1, 8]);
    expect(new Set(made.segment)).toEqual(new Set([0]));
  });
  test.each([
    ["start of another batch", { start: [0] }],
    ["a mask of another batch", { mask: [[1, 1]] }],
    ["a mask row of another length", { mask: [[1, 1], [1]] }], // prettier-ignore
  ])("refuses %s", (_, options) => {
    expect(() => sequencePositions(2, 2, options)).toThrow(ShapeError);
  });

  test.each([-1, 0.5, NaN])("refuses to start at %s", (from) => {
    expect(() => sequencePositions(1, 3, { start: [from] })).toThrow(IndexError);
  });
});

describe("stepWithoutCache", () => {
  test("tables: queries, keys, rows, slots, length", async () => {
    const step = stepWithoutCache(backend, sequencePositions(2, 3, { mask: [[0, 1, 1], [1, 1, 1]] })); // prettier-ignore
    expect(await numbers(step.rows)).toEqual([-1, 0, 1, 0, 1, 2]);
    expect(await numbers(step.slots)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(step.keys.shape).toEqual([2, 3, 3]);
    expect(await numbers(step.keys)).toEqual([-1, 0, 0, 0, 0, 1, 1, 0, 2, 0, 0, 3, 1, 0, 4, 2, 0, 5]);
    expect(step.length).toBe(3);
    const queries = await numbers(step.queries);
    const of = (i: number): number[] => queries.slice(4 * i, 4 * i + 4);
    expect([0, 1, 2, 3].map((field) => [0, 1, 2, 3, 4, 5].map((i) => of(i)[field]))[0]).toEqual([-1, 0, 1, 0, 1, 2]);
    // Every visible key lies inside the range: own row, and all before it in the text.
    for (const [i, [first, last]] of [
      [1, [1, 1]],
      [2, [1, 2]],
      [3, [0, 0]],
      [5, [0, 2]],
    ] as const) {
      // prettier-ignore
      expect(of(i)[2]).toBeLessThanOrEqual(first);
      expect(of(i)[3]).toBeGreaterThan(last);
    }
  });

  test("refuses arrays of another length and positions under -1, and leaves nothing", async () => {
    const good = sequencePositions(1, 3);
    await expectNoLeak(backend, () => {
      expect(() => stepWithoutCache(backend, { ...good, position: new Int32Array(2) })).toThrow(ShapeError);
      expect(() => stepWithoutCache(backend, { ...good, segment: new Int32Array(4) })).toThrow(ShapeError);
      expect(() => stepWithoutCache(backend, { ...good, position: Int32Array.of(0, -2, 1) })).toThrow(IndexError);
    });
    expect(usage(backend)[0]).toBeGreaterThan(0);
  });
});
