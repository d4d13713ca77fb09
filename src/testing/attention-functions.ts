// The law of attention functions, one's own among them: each gives what the op `attention` is defined to give, with its gradient.
import fc from "fast-check";
import type { AttentionFunction } from "../attention/functions.js";
import type { Backend } from "../backends/backend.js";
import { among } from "./arbitraries.js";
import { attentionCalls, type AttentionDraws } from "./cases/attention.js";
import { checkRuns, runCase, type ConformanceCase, type ConformanceOptions } from "./conformance.js";

/**
 * Small, and of a magnitude that models have: tile edges and extreme numbers are the kernels' affair. Windows are narrow and sinks common, so
 * that both decide often.
 */
const draws: AttentionDraws = {
  ...{ T: among(5, 3, 2, 1, 0), S: among(9, 17, 9, 5, 2, 1, 0), d: among(4, 8, 5, 2, 1) },
  attrs: fc.record({
    scale: among(0.5, 1, 0.125),
    causal: fc.boolean(),
    window: among(1, 2, 3, 0),
    sinks: among(0, 1, 3, 5),
    softcap: among(0, 2),
  }),
  taste: fc.constantFrom("normal", "grid", "ties"),
};

export type AttentionFunctionOptions = Pick<ConformanceOptions, "seed" | "runs" | "path">;

/**
 * One case per function. On drawn shapes, tables (padding, segments, global tokens, ranges), windows, sinks, soft-caps, grouped heads and plain
 * or packed pools, its values and gradients are those of the definition: in f64 on the oracle, and on the backend within the oracle's bound of
 * what the function does. It repeats bit by bit, changes no operand, and leaves no memory but its result.
 *
 * ```ts
 * for (const c of attentionFunctionCases(backend, { mine })) test(c.name, c.run);
 * ```
 * @throws ConfigError if `runs` is no positive integer
 */
export function attentionFunctionCases(
  backend: Backend,
  functions: Readonly<Record<string, AttentionFunction>>,
  { seed = 1, runs = 30, path }: AttentionFunctionOptions = {},
): readonly ConformanceCase[] {
  checkRuns("attentionFunctionCases", runs);
  return Object.entries(functions).map(([name, attend]) => ({
    name,
    run: () =>
      runCase(
        backend,
        name,
        { op: "attention", calls: (features) => attentionCalls(features, attend, draws), composite: true },
        { seed, runs, path },
        (found) => `attentionFunctionCases(backend, { ${name} }, { seed: ${seed}, path: "${found}" })`,
      ),
  }));
}
