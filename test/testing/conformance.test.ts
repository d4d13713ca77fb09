// The suite itself: bugs planted in kernels are caught, by the law that they break, with the smallest call and a line that shows it again.
import { beforeAll, describe, expect, test } from "vitest";
import { DECLINED, type Backend, type OpName } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { floats, ints, words } from "../../src/backends/cpu/read.js";
import { conformanceCases } from "../../src/testing/conformance.js";
import { verdict, withKernel, type Plant } from "./planted.js";

let honest: Backend;
beforeAll(async () => {
  honest = await cpu();
});

let calls = 0;
const planted = (op: OpName, plant: Plant): Backend => withKernel(honest, op, plant);

const bugs: readonly (readonly [bug: string, op: OpName, law: string, plant: Plant])[] = [
  [
    "a value off by a few ulp",
    "rmsNorm",
    "the value lies within",
    (run, _, [y]) => {
      run();
      floats(y).forEach((x, i, to) => (to[i] = x * (1 + 2 ** -19)));
    },
  ],
  [
    "an element that is never written",
    "softmax",
    "every output element is written",
    (run, _, [y]) => {
      const kept = words(y).slice();
      run();
      if (kept.length > 4) words(y)[4] = kept[4];
    },
  ],
  [
    "a write behind the last element",
    "swiglu",
    "nothing outside",
    (run, _, [y]) => {
      run();
      floats({ ...y, offset: y.offset + floats(y).length, shape: [1] })[0] = 1;
    },
  ],
  [
    "a write before the first element",
    "combineExperts",
    "nothing outside",
    (run, _, [y]) => {
      run();
      if (y.offset > 0) floats({ ...y, offset: y.offset - 1, shape: [1] })[0] = 1;
    },
  ],
  [
    "an input that is scaled in place",
    "softmax",
    "inputs stay unchanged",
    (run, [x]) => {
      run();
      floats(x).forEach((value, i, to) => (to[i] = value * 2));
    },
  ],
  [
    "numbers that change from run to run",
    "softmax",
    "two runs give the same bits",
    (run, _, [y]) => {
      run();
      // The last bit of every second run: within any bound, and still not the same.
      if (calls++ % 2 === 1) words(y).forEach((word, i, to) => (to[i] = word ^ 1));
    },
  ],
  [
    "a dependence on the offset",
    "softmax",
    "do not depend on where",
    (run, [x], [y]) => {
      run();
      if (x.offset > 0) words(y).forEach((word, i, to) => (to[i] = word ^ 1));
    },
  ],
  [
    "declining after a write",
    "linear",
    "a kernel that declines has written nothing",
    (_, [x], [y]) => {
      if (floats(y).length > 0) floats(y)[0] = floats(x)[0] ?? 0;
      return DECLINED;
    },
  ],
  [
    "a writer that declines after a write",
    "adamW",
    "a kernel that declines has written nothing",
    (run, _, [param]) => {
      if (floats(param).length === 0) return run();
      floats(param)[0] = 1;
      return DECLINED;
    },
  ],
  [
    "ties to the higher index",
    "topK",
    "the value lies within",
    (run, [x], [, indices]) => {
      run();
      const width = x.shape[x.shape.length - 1];
      ints(indices).forEach((index, i, to) => {
        const row = Math.floor(i / Math.max(indices.shape[indices.shape.length - 1], 1)) * width;
        const equal = floats(x).subarray(row, row + width);
        to[i] = equal.lastIndexOf(equal[index]);
      });
    },
  ],
  [
    "a bias in the weights",
    "route",
    "the value lies within",
    (run, [logits, bias]) => run(bias ? [logits, undefined] : undefined),
  ],
  [
    "the same expert twice",
    "route",
    "the op's own law",
    (run, _, [, experts]) => {
      run();
      if (experts.shape[1] > 1) ints(experts)[1] = ints(experts)[0];
    },
  ],
  [
    "activations that stay f32",
    "expertLinear",
    "the value lies within",
    (run) => run(undefined, { activations: "f32" }),
  ],
  [
    "a window that is one too wide",
    "attention",
    "the value lies within",
    (run, _, __, attrs: { window: number }) => run(undefined, { ...attrs, window: attrs.window && attrs.window + 1 }),
  ],
  [
    "a soft-cap that is left out",
    "attention",
    "the value lies within",
    (run, _, __, attrs: object) => run(undefined, { ...attrs, softcap: 0 }),
  ],
  [
    "a gradient without the scale",
    "attentionGrad",
    "the value lies within",
    (run, _, __, attrs: object) => run(undefined, { ...attrs, scale: 1 }),
  ],
  [
    "a wrong gradient kernel, seen from the op",
    "swigluGrad",
    "the gradient lies within",
    (run, _, [y]) => {
      run();
      floats(y).forEach((x, i, to) => (to[i] = -x));
    },
  ],
  [
    "rows that nobody names",
    "scatterRows",
    "the value lies within",
    (run, _, [into]) => {
      run();
      if (words(into).length > 3) words(into)[3] ^= 1;
    },
  ],
];

describe("a planted bug is caught and named", () => {
  test.each(bugs)("%s", async (bug, op, law, plant) => {
    const seen = bug.endsWith("from the op") ? "swiglu" : op;
    const message = await verdict(planted(op, plant), seen, { runs: 40 });
    expect(message).toContain(law);
    expect(message).toMatch(new RegExp(`^${seen}: `));
    expect(message).toMatch(/\nsmallest failing call: \w+\(/);
  });

  test("and the line that it prints shows it again", async () => {
    const [, op, law, plant] = bugs[0];
    const backend = planted(op, plant);
    const first = await verdict(backend, op, { seed: 77 });
    const [, seed, path] = /seed: (-?\d+), path: "([\d:]+)"/.exec(first ?? "") ?? [];
    const again = await verdict(backend, op, { seed: Number(seed), path });
    expect(again).toContain(law);
    expect(again?.split("\n")[1]).toBe(first?.split("\n")[1]);
  });

  test("with shapes as small as they can be", async () => {
    const backend = planted("matmul", (run, [a, b], [y]) => {
      run();
      // Wrong from the ninth column on, as a tile of eight would be.
      const columns = y.shape[y.shape.length - 1];
      if (columns > 8) floats(y).forEach((_, i, to) => void (i % columns === 8 && (to[i] += 1)));
      void [a, b];
    });
    const message = (await verdict(backend, "matmul")) ?? "";
    const shapes = /smallest failing call: matmul\((.*)\) with/.exec(message)?.[1] ?? "";
    const extents = [...shapes.matchAll(/\d+(?=[,\]])/g)].map(([extent]) => Number(extent));
    expect(extents.sort((a, b) => a - b)).toEqual([1, 1, 1, 9]);
  });
});

describe("what it refuses", () => {
  test("a skip without a reason, or of a case that is none", () => {
    expect(() => conformanceCases(honest, { skip: [{ case: "topK", reason: " " }] })).toThrow(
      "topK must carry a reason",
    );
    expect(() => conformanceCases(honest, { skip: [{ case: "topQ", reason: "x" }] })).toThrow('got "topQ"');
    expect(() => conformanceCases(honest, { only: ["topQ"] })).toThrow("only must name cases");
  });

  test("a run of nothing", () => {
    expect(() => conformanceCases(honest, { runs: 0 })).toThrow("runs must be");
    const skip = [{ case: "topK", reason: "none" }];
    expect(() => conformanceCases(honest, { only: ["topK"], skip })).toThrow("at least one case must run");
    expect(() => conformanceCases(honest, { only: [] })).toThrow("at least one case must run");
  });

  test("a kernel that always declines", async () => {
    expect(
      await verdict(
        planted("softmax", () => DECLINED),
        "softmax",
      ),
    ).toContain("declined all");
  });

  test("memory that is not given back", async () => {
    const leaky = planted("softmax", (run) => {
      honest.memory.alloc(4);
      return run();
    });
    expect(await verdict(leaky, "softmax")).toContain("memory returns to where it began");
    honest = await cpu();
  });
});

test("a skipped case says so by its name", async () => {
  const cases = conformanceCases(honest, { skip: [{ case: "topK/nan", reason: "driver bug 123" }] });
  const skipped = cases.filter((one) => one.skipped !== undefined);
  expect(skipped.map(({ name }) => name)).toEqual(["topK/nan (skipped: driver bug 123)"]);
  await skipped[0].run();
});

test("every op of the contract has a case", () => {
  const names = conformanceCases(honest).map(({ name }) => name.split("/")[0]);
  for (const op of Object.keys(honest.kernels)) expect(names).toContain(op);
});
