// The exported suite: the laws that any backend must obey, as plain `{ name, run }` pairs for any test runner.
import fc from "fast-check";
import type { Backend } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import type { DrawnCall } from "./arbitraries.js";
import { benchOf, type Bench } from "./bench.js";
import { everyCase, type CaseMaker } from "./every-case.js";
import { obey } from "./obey.js";
import { showOperand } from "./operands.js";
import { wholeBackendCases } from "./whole-backend.js";

/** Options of {@link conformanceCases} that show a failure again. */
export interface Again {
  readonly only: readonly [string];
  readonly seed: number;
  readonly path: string;
}

/** An op broke a law. The message has the smallest call that does, and how to see it again. */
export class BrokenLaw extends Error {
  override readonly name = "BrokenLaw";
  readonly again: Again;

  constructor(message: string, again: Again, options?: ErrorOptions) {
    super(message, options);
    this.again = again;
  }
}

/** A test without a test runner. */
export interface ConformanceCase {
  readonly name: string;
  /** Set where the caller leaves the case out; `run` then does nothing. */
  readonly skipped?: string;
  /** Rejects with the first law that is broken: a {@link BrokenLaw} where calls are drawn. */
  run(): Promise<void>;
}

export interface ConformanceOptions {
  /** Cases to leave out, each with the reason. A name that no case has is an error, so the list cannot outlive its reasons. */
  readonly skip?: readonly { readonly case: string; readonly reason: string }[];
  /** The cases to run; all unless given. */
  readonly only?: readonly string[];
  /** What calls are drawn from; 1 unless given. */
  readonly seed?: number;
  /** Calls drawn per case; 30 unless given. */
  readonly runs?: number;
  /**
   * Opens another backend of the kind under test, with memory of its own. With it there is a case more, "backend/closing": it closes that
   * backend and checks that every use is then refused.
   */
  readonly open?: () => Promise<Backend>;
  /** One call out of those that the seed draws, as a failure names it. */
  readonly path?: string;
}

/**
 * The laws that every backend obeys, one case per op and some for the backend as a whole. For each op calls are drawn over its whole meaning;
 * on each the kernel's outputs lie within the oracle's bounds, every element is written and nothing else, inputs stay, runs repeat bit by bit
 * wherever operands lie, a declined call has left no trace, kernel and composite agree, gradients are those of the composite and the slopes
 * that differences measure, and memory returns.
 *
 * ```ts
 * const backend = await myBackend();
 * for (const c of conformanceCases(backend)) test(c.name, c.run);
 * ```
 * @throws ConfigError if a skip lacks its reason or names no case, or if nothing is left to run
 */
export function conformanceCases(backend: Backend, options: ConformanceOptions = {}): readonly ConformanceCase[] {
  const { skip = [], only, seed = 1, runs = 30, open, path } = options;
  checkRuns("conformanceCases", runs);
  const all: ConformanceCase[] = [
    ...[...everyCase].map(([name, maker]) => ({
      name,
      run: () =>
        runCase(backend, name, maker, { seed, runs, path }, (found) => {
          return `conformanceCases(backend, { only: ["${name}"], seed: ${seed}, path: "${found}" })`;
        }),
    })),
    ...wholeBackendCases(backend, open),
  ];
  const reasons = new Map<string, string>();
  for (const { case: name, reason } of skip) {
    if (!all.some((one) => one.name === name)) {
      throw new ConfigError(`conformanceCases: skip must name a case, got "${name}"; remove it`);
    }
    if (reason.trim() === "")
      throw new ConfigError(`conformanceCases: the skip of ${name} must carry a reason, got none`);
    reasons.set(name, reason);
  }
  for (const name of only ?? []) {
    if (!all.some((one) => one.name === name)) {
      throw new ConfigError(
        `conformanceCases: only must name cases, got "${name}"; they are ${all.map((one) => one.name).join(", ")}`,
      );
    }
  }
  const asked = all.filter(({ name }) => only === undefined || only.includes(name));
  if (asked.every(({ name }) => reasons.has(name))) {
    throw new ConfigError("conformanceCases: at least one case must run, got none that is not skipped");
  }
  return asked.map((one) => {
    const skipped = reasons.get(one.name);
    if (skipped === undefined) return one;
    return { name: `${one.name} (skipped: ${skipped})`, skipped, run: async () => undefined };
  });
}

/** @throws ConfigError */
export function checkRuns(where: string, runs: number): void {
  if (Number.isInteger(runs) && runs >= 1) return;
  throw new ConfigError(`${where}: runs must be an integer of at least 1, got ${runs}; a run of nothing shows nothing`);
}

/** @param again how to see the call of a path again @throws BrokenLaw */
export async function runCase(
  backend: Backend,
  name: string,
  { op, calls, special, composite }: CaseMaker,
  { seed, runs, path }: { readonly seed: number; readonly runs: number; readonly path: string | undefined },
  again: (path: string) => string,
): Promise<void> {
  const bench = benchOf(op, backend);
  const property = fc.asyncProperty(calls(backend.features), (call) => obey(bench, call));
  const details = await fc.check(property, { seed, numRuns: runs, path, endOnFailure: false });
  if (details.failed) {
    const [call] = details.counterexample ?? [];
    const error = details.errorInstance;
    const found = details.counterexamplePath ?? "";
    const lines = [
      `${name}: ${error instanceof Error ? error.message : String(error)}`,
      `smallest failing call: ${call ? showCall(op, call) : "none was drawn"}`,
      `to see it again: ${again(found)}`,
    ];
    throw new BrokenLaw(lines.join("\n"), { only: [name], seed, path: found }, { cause: error });
  }
  const silent = special === true && backend.features.accuracy === "wgsl";
  expectSomething(name, bench, { silent, native: backend.kernels[op] !== undefined && composite !== true }, runs);
}

/** A run that compared nothing is a failure of the suite, not a success of the backend. */
function expectSomething(
  name: string,
  { tally }: Bench,
  { silent, native }: { readonly silent: boolean; readonly native: boolean },
  runs: number,
): void {
  if (tally.drawn === 0) throw new Error(`${name}: at least one call must run, got none`);
  if (runs < 10) return; // a few calls may all be empty ones
  if (tally.compared === 0 && !silent) throw new Error(`${name}: ${tally.drawn} calls ran, and no element had a bound`);
  if (native && tally.native === 0) {
    throw new Error(`${name}: the backend has a kernel, and it declined all of ${tally.drawn} calls; leave it out`);
  }
}

function showCall(op: string, { inputs, from, seed, offset }: DrawnCall): string {
  return `${op}(${inputs.map(showOperand).join(", ")}) with ${JSON.stringify(from)}, numbers of seed ${seed}, ${offset} elements before each operand`;
}
