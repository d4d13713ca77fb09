// The CPU backend's attention and its gradient on examples worked by hand: who sees whom, and how scores become weights.
import { afterAll, describe, expect, test } from "vitest";
import type { AttentionAttrs } from "../../src/backends/backend.js";
import type { View } from "../../src/core/view.js";
import { backend, close, i32, run, view } from "./cpu-views.js";

afterAll(() => backend[Symbol.asyncDispose]());

describe("attention", () => {
  const plain: AttentionAttrs = { scale: 1, causal: true, window: 0, sinks: 0, softcap: 0 };

  /** With q = 0 every visible key weighs the same, so y of a token is the mean of the values that it sees: powers of two tell them apart. */
  async function seenBy(queries: readonly number[], keys: readonly number[], attrs: AttentionAttrs): Promise<number[]> {
    const tokens = queries.length / 4;
    const rows = keys.length / 3;
    const values = Array.from({ length: rows }, (_, i) => 2 ** i);
    const q = view([1, tokens, 1, 1], new Array(tokens).fill(0));
    const k = view([rows, 1, 1], new Array(rows).fill(1));
    const inputs: [View, View, View, View, View] = [
      q,
      k,
      view([rows, 1, 1], values),
      i32([1, tokens, 4], queries),
      i32([1, rows, 3], keys),
    ];
    return (await run("attention", inputs, [view([1, tokens, 1, 1])], attrs))[0];
  }
  const keys = [0, 0, 0, 1, 0, 1, 2, 0, 2, 3, 0, 3];
  const last = [3, 0, 0, 4];

  test.each<[string, number[], Partial<AttentionAttrs>, number]>([
    ["causal", [1, 0, 0, 4], {}, 3 / 2],
    ["not causal", [1, 0, 0, 4], { causal: false }, 15 / 4],
    ["a window counts the token itself", last, { window: 2 }, 12 / 2],
    ["a window reaches both ways when not causal", [2, 0, 0, 4], { causal: false, window: 1 }, 14 / 3],
    ["sinks stay visible", last, { window: 1, sinks: 1 }, 9 / 2],
    ["a global query sees past the window", [3, ~0, 0, 4], { window: 1 }, 15 / 4],
    ["another segment", [3, 1, 0, 4], {}, 0],
    ["no query", [-1, 0, 0, 4], {}, 0],
    ["only the row range", [3, 0, 1, 3], {}, 6 / 2],
    ["an empty row range", [3, 0, 2, 2], {}, 0],
  ])("%s", async (_, query, attrs, mean) => {
    close(await seenBy(query, keys, { ...plain, ...attrs }), [mean]);
  });

  test("hidden keys, global keys, and slots in any order", async () => {
    const table = [0, ~0, 3, -1, 0, 1, 1, 1, 0, 2, 0, 2];
    expect(await seenBy([2, 0, 0, 4], table, { ...plain, window: 1 })).toEqual([(8 + 4) / 2]);
  });

  test("a key that is not seen changes nothing, even if it is NaN", async () => {
    const inputs: [View, View, View, View, View] = [
      view([1, 2, 1, 1], [1, 1]),
      view([2, 1, 1], [1, NaN]),
      view([2, 1, 1], [5, NaN]),
      i32([1, 2, 4], [0, 0, 0, 2, 1, 0, 0, 2]),
      i32([1, 2, 3], [0, 0, 0, 1, 0, 1]),
    ];
    expect(await run("attention", inputs, [view([1, 2, 1, 1])], plain)).toEqual([[5, NaN]]);
  });

  test("heads share kv heads in order; scores are scaled, then capped", async () => {
    const q = view([1, 1, 4, 1], [0, 1, 2, 4]);
    const k = view([2, 2, 1], [0, 0, 1, 1]);
    const v = view([2, 2, 1], [0, 0, 1, 10]);
    const tables = [i32([1, 1, 4], [1, 0, 0, 2]), i32([1, 2, 3], [0, 0, 0, 1, 0, 1])] as const;
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
    const [y] = await run("attention", [q, k, v, ...tables], [view([1, 1, 4, 1])], {
      ...plain,
      scale: 0.5,
      softcap: 1,
    });
    close(y, [0.5, sigmoid(Math.tanh(0.5)), 10 * sigmoid(Math.tanh(1)), 10 * sigmoid(Math.tanh(2))]);
  });

  test("gradients: by hand for two keys, summed over heads, 0 for a slot that nobody sees", async () => {
    const q = view([1, 1, 2, 1], [0, 0]);
    const k = view([3, 1, 1], [1, 7, 3]);
    const v = view([3, 1, 1], [10, 7, 20]);
    const tables = [i32([1, 1, 4], [1, 0, 0, 2]), i32([1, 2, 3], [0, 0, 0, 1, 0, 2])] as const;
    const y = view([1, 1, 2, 1], [15, 15]);
    const dy = view([1, 1, 2, 1], [1, 2]);
    const outputs: [View, View, View] = [view([1, 1, 2, 1]), view([3, 1, 1]), view([3, 1, 1])];
    const [dq, dk, dv] = await run("attentionGrad", [q, k, v, ...tables, y, dy], outputs, { ...plain, scale: 2 });
    // p = 1/2 each; dScore = p (dy v - dy y) = -5/2 dy and 5/2 dy; dq = scale * sum of dScore k.
    expect([dq, dk, dv]).toEqual([
      [2 * 2.5 * (3 - 1), 2 * 5 * (3 - 1)],
      [0, 0, 0],
      [1.5, 0, 1.5],
    ]);
  });
});
