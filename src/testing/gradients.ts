// The law of gradients. On the backend under test the gradient lies within the bound of the oracle's; on the oracle, in f64, the rule of the
// op equals its replayed composite, element by element, and both equal the slope that central differences measure.
import { Random } from "../core/random.js";
import type { Backend } from "../backends/backend.js";
import { zeros } from "../ops/fill.js";
import { Tape } from "../autograd/tape.js";
import { withTape, type TapeEntry } from "../tensor/ambient.js";
import { tensor } from "../tensor/create.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { DrawnCall } from "./arbitraries.js";
import { BrokenLaw, present, type Bench } from "./bench.js";
import { expectedOf, mismatch, type Expected, type Output } from "./compare.js";
import { Guard } from "./guards.js";
import { upload, type Handle, type PlainOperand } from "./operands.js";
import type { Oracle } from "./oracle/oracle.js";

/** Rounding in f64 is so much smaller than in f32, and so is the bound of an error that is linear in it; twice, for two values compared. */
const F64 = 2 ** -28;
/** The step of central differences; numbers are of magnitude 1. Half of it gives a second measurement, and the two the error. */
const STEP = 2 ** -12;

type Outputs = readonly (Tensor | undefined)[];

/** Weights of the outputs: the derivative is taken of their weighted sum. Undefined for outputs that are no f32 numbers. */
type Seeds = readonly (Float32Array<ArrayBuffer> | undefined)[];

/** Throws {@link BrokenLaw} unless the gradients by the call's parameters are right. */
export async function checkGradients(bench: Bench, call: DrawnCall, outputs: readonly Expected[]): Promise<void> {
  const { backend, oracle, exact, tally, op } = bench;
  const params = call.params ?? [];
  if (params.length === 0) return;
  const random = new Random(call.seed).fork("gradients");
  const seeds = outputs.map(({ dtype, value }) =>
    dtype === "f32" ? Float32Array.from(value, () => random.normal()) : undefined,
  );
  const expected = await onOracle(oracle, call, (handles) => backward(oracle, call, handles, seeds, "rule"));
  const wrong = mismatch(await onBackend(bench, call, seeds), expected, backend.features.accuracy, tally);
  if (wrong)
    throw new BrokenLaw(
      "gradient",
      wrong.replace(/^output (\d+)/, (_, i) => `by input ${params[Number(i)]},`),
    );

  const rule =
    exact === oracle
      ? expected
      : await onOracle(exact, call, (handles) => backward(exact, call, handles, seeds, "rule"));
  // A rule may leave out what nobody wants, and nothing else: one input alone gets the gradient that it gets among all.
  const one = random.integer(params.length);
  const [alone] = await onOracle(exact, call, (handles) =>
    backward(exact, call, handles, seeds, "rule", [params[one]]),
  );
  const changed = firstApart(rule[one], alone);
  if (changed >= 0) {
    const what = `${alone.value[changed]} where it alone is wanted, ${rule[one].value[changed]} with the others`;
    throw new BrokenLaw("definition", `${op} by input ${params[one]} [${changed}]: ${what}`);
  }
  if (call.straightThrough) return;
  const replay = await onOracle(exact, call, (handles) => backward(exact, call, handles, seeds, "replay"));
  rule.forEach((mine, i) => {
    const at = firstApart(mine, replay[i]);
    if (at < 0) return;
    const what = `${op} by input ${params[i]} [${at}]: ${mine.value[at]} by its rule, ${replay[i].value[at]} by its composite`;
    throw new BrokenLaw("definition", what);
  });
  if (call.smooth) await checkSlope(exact, call, seeds, rule, random);
}

/** The first element in which two ways to the same numbers differ by more than rounding in f64, or -1. */
export function firstApart(a: Expected, b: Expected): number {
  return a.value.findIndex((x, i) => {
    const reach = a.bound[i] + b.bound[i];
    return reach < Infinity && !Object.is(x, b.value[i]) && !(Math.abs(x - b.value[i]) <= F64 * reach);
  });
}

/** The gradients by the rule of the op that was called, or by its composite run again. */
function backward(
  backend: Backend,
  call: DrawnCall,
  handles: readonly Handle[],
  seeds: Seeds,
  by: "rule" | "replay",
  params: readonly number[] = call.params ?? [],
): readonly Tensor[] {
  return scope(() => {
    const other = call.definition ?? call.run;
    const composite = by === "replay" ? compositeOf(() => other(handles, backend)) : undefined;
    const tape = new Tape(params.map((i) => handles[i]));
    try {
      const outputs = present(withTape(tape, composite ?? ((): Outputs => call.run(handles, backend))));
      const arriving = new Map<number, Tensor>();
      outputs.forEach((output, i) => {
        const seed = seeds[i];
        if (seed && tape.tracks(output)) arriving.set(output.id, tensor(backend, seed, output.shape));
      });
      const gradients = tape.backward(arriving);
      const wanted = params.map((i) => gradients.take(handles[i].id) ?? zeros(backend, handles[i].shape));
      gradients.dispose();
      return wanted as never;
    } finally {
      tape.dispose();
    }
  });
}

/** What defines the one op that `fn` calls, over the operands that it was called with; undefined for a primitive or several ops. */
function compositeOf(fn: () => Outputs): (() => Outputs) | undefined {
  const entries: TapeEntry[] = [];
  withTape({ ran: (entry) => void entries.push(entry), wrote: () => undefined }, fn);
  const [{ composite, inputs }] = entries;
  return entries.length === 1 && composite ? () => composite(inputs) as Outputs : undefined;
}

async function onOracle(
  oracle: Oracle,
  call: DrawnCall,
  fn: (handles: readonly Handle[]) => readonly Tensor[],
): Promise<Expected[]> {
  const handles = call.inputs.map((input) => upload(oracle, input));
  return expectedOf(oracle, fn(handles));
}

async function onBackend({ backend, op }: Bench, call: DrawnCall, seeds: Seeds): Promise<Output[]> {
  const guard = new Guard(backend, call.offset, 0x7fc0_dead);
  const under = guard.backend(op, "all");
  const handles: Handle[] = [];
  let made: readonly Tensor[] = [];
  try {
    for (const input of call.inputs) handles.push(upload(under, input));
    made = backward(under, call, handles, seeds, "rule");
    return await Promise.all(
      made.map(async (output) => ({ dtype: output.dtype, shape: output.shape, data: await output.data() })),
    );
  } finally {
    for (const gradient of made) gradient.dispose();
    for (const handle of handles) handle?.dispose();
  }
}

/** The weighted sum of the outputs after a step along a direction, how much of it rounding may have moved, and the index outputs. */
interface Height {
  readonly sum: number;
  readonly lost: number;
  readonly chosen: string;
}

/** Along a random direction in all parameters at once, the slope is that of the gradients, within what its measurement can tell. */
async function checkSlope(
  exact: Oracle,
  call: DrawnCall,
  seeds: Seeds,
  gradients: readonly Expected[],
  random: Random,
): Promise<void> {
  const params = call.params ?? [];
  const given = params.map((i) => (call.inputs[i] as PlainOperand).data);
  const direction = given.map((data) => Float64Array.from(data, () => random.normal()));
  const heightAt = async (step: number): Promise<Height> => {
    const handles = call.inputs.map((input) => upload(exact, input));
    params.forEach((param, i) => {
      const moved = Float64Array.from(given[i], (x, j) => x + step * direction[i][j]);
      // The step itself is rounded.
      const slip = moved.map((x) => 2 ** -24 * Math.abs(x));
      exact.assign(handles[param], moved, slip);
    });
    const outputs = await expectedOf(
      exact,
      scope(() => present(call.run(handles, exact)) as never),
    );
    let [sum, lost, chosen] = [0, 0, ""];
    outputs.forEach(({ value, bound }, i) => {
      const seed = seeds[i];
      if (!seed) {
        chosen += `${value.join()};`;
        return;
      }
      for (let j = 0; j < value.length; j++) {
        sum += seed[j] * value[j];
        lost += Math.abs(seed[j]) * (F64 * bound[j] + 2 ** -50 * Math.abs(value[j]));
      }
    });
    return { sum, lost, chosen };
  };
  const slopeOver = async (step: number): Promise<Height> => {
    const [above, below] = [await heightAt(step), await heightAt(-step)];
    return {
      sum: (above.sum - below.sum) / (2 * step),
      lost: (above.lost + below.lost) / (2 * step),
      chosen: above.chosen === below.chosen ? above.chosen : "different",
    };
  };
  const coarse = await slopeOver(STEP);
  const fine = await slopeOver(STEP / 2);
  if (coarse.chosen === "different" || fine.chosen === "different") return; // a step between two choices, no slope
  let [claimed, lost] = [0, 0];
  gradients.forEach(({ value, bound }, i) => {
    for (let j = 0; j < value.length; j++) {
      claimed += value[j] * direction[i][j];
      lost += F64 * bound[j] * Math.abs(direction[i][j]);
    }
  });
  // The error of central differences falls by 4 when the step is halved, so the finer one is off by a third of their distance.
  const told = Math.abs(coarse.sum - fine.sum) + fine.lost + lost;
  if (Math.abs(claimed - fine.sum) <= told || told === Infinity || Number.isNaN(told)) return;
  throw new BrokenLaw("definition", `the slope is ${fine.sum} within ${told}, the gradients say ${claimed}`);
}
