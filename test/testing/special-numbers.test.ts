// The suite sees what bounds cannot: a zero that lost its sign, and NaN and infinity where a kernel was thought to handle numbers only.
import { beforeAll, expect, test } from "vitest";
import type { Backend, OpName } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { floats } from "../../src/backends/cpu/read.js";
import { verdict, withKernel, type Plant } from "./planted.js";

let honest: Backend;
beforeAll(async () => {
  honest = await cpu();
});

/** The honest kernel, then a map over f32 results. */
const then =
  (map: (x: number) => number): Plant =>
  (run, [x], [y]) => {
    run();
    if (y.dtype === "f32" && (x?.dtype ?? "f32") === "f32") floats(y).forEach((value, i, to) => (to[i] = map(value)));
  };
const bugs: readonly (readonly [bug: string, op: OpName, name: string, says: RegExp, plant: Plant])[] = [
  ["fill adds a step of 0 to -0", "fill", "fill", /the op's own law: \[0\] is 0 and must be -0/, then((x) => x + 0)],
  [
    "fill gives 0 for NaN",
    "fill",
    "fill",
    /within the oracle's bound: output 2 f32\[.*\] \[0\] is 0 and must be NaN/,
    then((x) => (Number.isNaN(x) ? 0 : x)),
  ],
  [
    "fill gives the largest number for infinity",
    "fill",
    "fill",
    /output 3 f32\[.*\] \[0\] is 3\.39\d*e\+38 and must be Infinity/,
    then((x) => Math.min(x, 3.4e38)),
  ],
  [
    "a copy by cast loses the sign of zero",
    "cast",
    "cast/special",
    /the op's own law: f32 to f32: \[\d+\] is 0 and must be -0/,
    then((x) => x + 0),
  ],
  [
    "a copy by cast makes 0 of NaN",
    "cast",
    "cast/special",
    /the op's own law: f32 to f32: \[\d+\] is 0 and must be NaN/,
    then((x) => (Number.isNaN(x) ? 0 : x)),
  ],
];

test.each(bugs)("%s", async (_, op, name, says, plant) => {
  const backend = withKernel(honest, op, plant);
  for (const seed of [1, 2, 3]) expect(await verdict(backend, name, { seed })).toMatch(says);
  expect(await verdict(backend, name, { seed: 1, runs: 10 })).toMatch(says); // ten calls are enough
});

test("where NaN and the sign of zero mean nothing, neither is judged", async () => {
  for (const [, op, name, , plant] of bugs) {
    const backend = withKernel(honest, op, plant);
    const loose: Backend = { ...backend, features: { ...backend.features, accuracy: "wgsl" } };
    expect(await verdict(loose, name)).toBeUndefined();
  }
});
