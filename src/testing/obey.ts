// The laws that every op obeys on every backend. One drawn call serves them all.
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { tensor } from "../tensor/create.js";
import type { DrawnCall } from "./arbitraries.js";
import { BrokenLaw, present, type Bench } from "./bench.js";
import { difference, expectedOf, mismatch, type Expected, type Output } from "./compare.js";
import { Declined, Guard, primitiveNames, type Use } from "./guards.js";
import { checkGradients, firstApart } from "./gradients.js";
import { isPacked, tensorsOf, upload, wordsOf, type Handle, type Numbers32 } from "./operands.js";

/** What one run of a drawn call left. */
interface Ran {
  readonly outputs: readonly Output[];
  readonly declined: boolean;
  readonly calls: number;
}

const POISON = 0x7fc0_dead;
const OTHER_POISON = 0x7fe1_0bad;

/** Throws {@link BrokenLaw} unless the call obeys every law. */
export async function obey(bench: Bench, call: DrawnCall): Promise<void> {
  const { backend, op, tally } = bench;
  const before = backend.memory.usage();
  const fused = !(primitiveNames as readonly string[]).includes(op);
  const run = (use: Use, offset: number, poison: number): Promise<Ran> => runGuarded(bench, call, use, offset, poison);

  let use: Use = backend.kernels[op] ? "native" : "composed";
  let first = await run(use, call.offset, POISON);
  if (first.declined) {
    use = "composed";
    first = await run(use, call.offset, POISON);
  }
  tally.native += use === "native" ? first.calls : 0;
  const again = await run(use, call.offset, OTHER_POISON);
  sameBits(first, again, "deterministic");
  if (call.offset > 0) sameBits(first, await run(use, 0, POISON), "offset");

  const expected = await estimate(bench, call, first.outputs);
  judge(bench, call, "value", first.outputs, expected);
  if (call.definition) await compareWithDefinition(bench, call);
  if (fused && use === "native") {
    const composed = await run("composed", call.offset, POISON);
    const forced = call.forced ? await estimate(bench, call, composed.outputs) : expected;
    judge(bench, call, "composite", composed.outputs, forced);
  }
  if (call.params && call.params.length > 0) await checkGradients(bench, call, expected);

  const after = backend.memory.usage();
  if (after.buffers !== before.buffers || after.bytes !== before.bytes) {
    throw new BrokenLaw(
      "memory",
      `${before.buffers} buffers of ${before.bytes} bytes became ${after.buffers} of ${after.bytes}`,
    );
  }
  tally.drawn++;
}

function judge(
  { backend, tally }: Bench,
  call: DrawnCall,
  law: "value" | "composite",
  outputs: readonly Output[],
  expected: readonly Expected[],
): void {
  const own = call.verify?.(outputs.map(({ data }) => data));
  if (own) throw new BrokenLaw("own", own);
  const wrong = mismatch(outputs, expected, backend.features.accuracy, tally);
  if (wrong) throw new BrokenLaw(law, wrong);
  const { reference } = call;
  if (!reference) return;
  const at = reference.findIndex((x, i) => !(Math.abs(x - expected[0].value[i]) <= expected[0].bound[i]));
  if (at >= 0) {
    const { value, bound } = expected[0];
    throw new BrokenLaw("own", `[${at}] is ${reference[at]} on the host and ${value[at]} within ${bound[at]} composed`);
  }
}

/** On the oracle, in f64, the way that was run and the definition give the same. */
async function compareWithDefinition({ exact }: Bench, call: DrawnCall): Promise<void> {
  const handles = call.inputs.map((input) => upload(exact, input));
  const by = (run: DrawnCall["run"]): Promise<Expected[]> =>
    expectedOf(
      exact,
      scope(() => present(run(handles, exact)) as never),
    );
  const [mine, defined] = [await by(call.run), await by(call.definition as DrawnCall["run"])];
  mine.forEach((output, i) => {
    const at = firstApart(output, defined[i]);
    if (at < 0) return;
    throw new BrokenLaw(
      "definition",
      `output ${i} [${at}] is ${output.value[at]}, ${defined[i].value[at]} by definition`,
    );
  });
}

/** Bits that differ: an element that nobody wrote shows the poison of its run. */
function sameBits(a: Ran, b: Ran, law: "deterministic" | "offset"): void {
  const found = difference(a.outputs, b.outputs);
  if (!found) return;
  const { output, at } = found;
  const [x, y] = [a, b].map(({ outputs }) => wordsOf(outputs[output].data)[at]);
  if (x === POISON) throw new BrokenLaw("written", `output ${output} [${at}] still holds what was there before`);
  const [p, q] = [a, b].map(({ outputs }) => outputs[output].data[at]);
  throw new BrokenLaw(
    law,
    `output ${output} [${at}] is ${p}, then ${q} (bits ${x.toString(16)} and ${y.toString(16)})`,
  );
}

/** What the outputs should be, by the oracle; under the backend's own choice of indices where the call says how. */
async function estimate(bench: Bench, call: DrawnCall, got: readonly Output[]): Promise<Expected[]> {
  const { oracle } = bench;
  const handles = call.inputs.map((input) => upload(oracle, input));
  const outputs = scope<readonly Tensor[]>(() => {
    if (!call.forced) return present(call.run(handles, oracle));
    const given = got.map(({ data, shape }) => tensor(oracle, data, shape));
    return call.forced(handles, oracle, given);
  });
  return expectedOf(oracle, outputs);
}

async function runGuarded(
  { backend, op }: Bench,
  call: DrawnCall,
  use: Use,
  offset: number,
  poison: number,
): Promise<Ran> {
  const guard = new Guard(backend, offset, poison);
  const under = guard.backend(op, use);
  const handles: Handle[] = [];
  let made: readonly Tensor[] = [];
  try {
    for (const input of call.inputs) handles.push(upload(under, input));
    const given = await allOf(handles.map(readAll));
    let declined = false;
    try {
      made = scope<readonly Tensor[]>(() => present(call.run(handles, under)));
    } catch (error) {
      if (!(error instanceof Declined)) throw error;
      declined = true;
    }
    const outputs = await allOf(made.map(readOne));
    const left = await allOf(handles.map(readAll));
    handles.forEach((_, i) => {
      if (!declined && call.targets?.includes(i)) return;
      const changed = difference(given[i], left[i]);
      const what = `input ${i}${isPacked(call.inputs[i]) ? `, part ${changed?.output}` : ""} [${changed?.at}] has changed`;
      if (changed) throw new BrokenLaw(declined ? "declined" : "inputs", what);
    });
    const wrong = await guard.check();
    if (wrong) throw new BrokenLaw(wrong.startsWith("declined") ? "declined" : "outside", wrong);
    return { outputs, declined, calls: guard.calls };
  } finally {
    for (const output of made) output.dispose();
    for (const handle of handles) handle?.dispose();
    guard.release();
  }
}

const readOne = async (x: Tensor): Promise<Output> => ({ dtype: x.dtype, shape: x.shape, data: await numbersOf(x) });
const readAll = (handle: Handle | undefined): Promise<Output[]> => allOf(tensorsOf(handle).map(readOne));
const numbersOf = async (x: Tensor): Promise<Numbers32> => x.data();

/** Waits for all, also when one fails: a read that is still under way holds memory. */
async function allOf<T>(reads: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(reads);
  return Promise.all(reads);
}
