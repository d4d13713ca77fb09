// Every fused op: its kernel against its composite, and its gradient rule against the replayed composite and finite differences.
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { valueAndGrad } from "../../src/autograd/value-and-grad.js";
import type { Backend, FusedOps, Kernels, OpName } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { Random } from "../../src/core/random.js";
import { add, mul } from "../../src/ops/binary.js";
import { sum } from "../../src/ops/reduce.js";
import { reshape } from "../../src/ops/reshape.js";
import { withTape, type TapeEntry } from "../../src/tensor/ambient.js";
import { tensor } from "../../src/tensor/create.js";
import { scope } from "../../src/tensor/scope.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import { trace } from "../../src/tensor/trace.js";
import { upload, type HostOperand, type OpCase, type Operand } from "./cases/draw.js";
import { cases } from "./cases/fused.js";

let native: Backend;
let composed: Backend;

const primitives: readonly OpName[] = [
  ...["fill", "cast", "permute", "slice", "writeSlice", "gatherRows", "scatterRows", "unary", "binary"],
  ...["select", "reduce", "scan", "topK", "matmul", "quantize", "dequantize"],
] as OpName[];

beforeAll(async () => {
  native = await cpu();
  const kernels = Object.fromEntries(primitives.map((name) => [name, native.kernels[name]])) as unknown as Kernels;
  composed = { ...native, name: "composed", kernels };
});
afterAll(() => native[Symbol.asyncDispose]());

type Numbers = Float32Array | Int32Array | Uint32Array;

/** Runs `fn` with the inputs of a case on a backend and reads what it returns; nothing may stay behind. */
async function read(
  backend: Backend,
  inputs: OpCase["inputs"],
  fn: (handles: readonly Operand[]) => readonly (Tensor | undefined)[],
): Promise<Numbers[]> {
  const before = backend.memory.usage();
  const kept = scope(() => fn(inputs.map((input) => upload(backend, input)))) as readonly Tensor[];
  const numbers = await Promise.all(kept.map((output) => output.data()));
  for (const output of kept) output.dispose();
  const after = backend.memory.usage();
  expect([after.buffers, after.bytes]).toEqual([before.buffers, before.bytes]);
  return numbers;
}

/** All numbers of `a` and `b` agree within a share of the largest one; integers exactly. */
function expectClose(a: readonly Numbers[], b: readonly Numbers[], share: number, what: string): void {
  expect(a.length, what).toBe(b.length);
  a.forEach((numbers, i) => {
    expect(numbers.length, what).toBe(b[i].length);
    if (!(numbers instanceof Float32Array)) {
      expect(numbers, what).toEqual(b[i]);
      return;
    }
    const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
    numbers.forEach((x, j) => {
      if (!(Math.abs(x - b[i][j]) <= share * largest)) expect.fail(`${what}: output ${i}[${j}] is ${x} and ${b[i][j]}`);
    });
  });
}

/** A weight for each output element, so that gradients of a sum tell elements apart. */
function weightsOf(length: number): Float32Array {
  const random = new Random(7);
  return Float32Array.from({ length }, () => random.normal());
}

/** The sum of weighted f32 outputs. */
function lossOf(outputs: readonly (Tensor | undefined)[]): Tensor {
  return outputs
    .filter((y): y is Tensor => y?.dtype === "f32")
    .map((y) => {
      const weighted = mul(y, tensor(y.backend, weightsOf(y.size), y.shape));
      return reshape(sum(weighted, y.shape.map((_, axis) => axis)), []); // prettier-ignore
    })
    .reduce((total, one) => add(total, one));
}

/** What `fn` told the tape, if it was the one op. */
function entryOf(fn: () => unknown): TapeEntry {
  const entries: TapeEntry[] = [];
  withTape({ ran: (entry) => void entries.push(entry), wrote: () => undefined }, fn);
  expect(entries).toHaveLength(1);
  return entries[0];
}

type Run = OpCase["run"];

/** The gradients of the loss by the case's parameters. */
function gradients(backend: Backend, { inputs, params }: OpCase, run: Run): Promise<Numbers[]> {
  return read(backend, inputs, (handles) => {
    const named = new Map(params.map((i) => [String(i), handles[i]]));
    const { grads } = valueAndGrad(named, () => lossOf(run(handles)));
    return [...grads.values()];
  });
}

/** Slope of the loss along a random direction of unit length in one parameter, by central differences and as its gradient has it. */
interface Slopes {
  readonly measured: number;
  /** What half the step changes: about the error of the measurement. */
  readonly doubt: number;
  readonly claimed: number;
  /** A tie between indices was crossed, where the loss has a step. */
  readonly jumped: boolean;
}

async function slopes(
  backend: Backend,
  { inputs, run }: OpCase,
  param: number,
  gradient: Numbers,
  seed: number,
): Promise<Slopes> {
  const { shape, data } = inputs[param] as HostOperand;
  const random = new Random(seed);
  const drawn = Float64Array.from(data, () => random.normal());
  const length = Math.hypot(...drawn);
  const step = 2 ** -7;
  const lossAt = async (shift: number): Promise<{ readonly loss: number; readonly chosen: string }> => {
    const moved = { shape, data: Float32Array.from(data, (x, i) => x + (shift * drawn[i]) / length) };
    const outputs = await read(
      backend,
      inputs.map((input, i) => (i === param ? moved : input)),
      run,
    );
    let loss = 0;
    for (const y of outputs) {
      if (!(y instanceof Float32Array)) continue;
      const weights = weightsOf(y.length);
      y.forEach((value, i) => (loss += value * weights[i]));
    }
    const chosen = outputs.filter((y) => !(y instanceof Float32Array)).join(";");
    return { loss, chosen };
  };
  const at = [await lossAt(step), await lossAt(-step), await lossAt(step / 2), await lossAt(-step / 2)];
  const measured = (at[2].loss - at[3].loss) / step;
  return {
    measured,
    doubt: Math.abs(measured - (at[0].loss - at[1].loss) / (2 * step)),
    claimed: Array.from(gradient, (g, i) => (g * drawn[i]) / length).reduce((total, x) => total + x, 0),
    jumped: at.some(({ chosen }) => chosen !== at[0].chosen),
  };
}

const names = Object.keys(cases) as (keyof FusedOps)[];
// f32 sums of a few dozen terms; the oracle's bounds will replace both.
const rounding = 1e-5;
const truncation = 2e-3;

describe.each(names)("%s", (name) => {
  test("kernel = composite", async () => {
    await fc.assert(
      fc.asyncProperty(cases[name], async ({ inputs, run, slack = 0 }) => {
        const counted = (backend: Backend, means: "native" | "composed"): Promise<Numbers[]> =>
          read(backend, inputs, (handles) => {
            const { result, counts } = trace(() => run(handles));
            expect(counts[name][means]).toBeGreaterThan(0);
            return result;
          });
        const direct = await counted(native, "native");
        expectClose(direct, await counted(composed, "composed"), rounding + slack, name);
        expectClose(direct, await read(native, inputs, run), 0, `${name} again`);
      }),
    );
  });

  const differentiable = cases[name].filter(({ params }) => params.length > 0);
  if (!fc.sample(cases[name], 50).some(({ params }) => params.length > 0)) return;
  test("gradient rule = replayed composite = finite differences", async () => {
    await fc.assert(
      fc.asyncProperty(differentiable, async (drawn) => {
        const rule = await gradients(native, drawn, drawn.run);
        expectClose(rule, await gradients(composed, drawn, drawn.run), 10 * rounding, `${name}: rule on primitives`);
        const replayed: Run = (handles) => {
          const entry = entryOf(() => drawn.run(handles));
          return entry.composite?.(entry.inputs) as readonly Tensor[];
        };
        expectClose(rule, await gradients(native, drawn, replayed), 10 * rounding, `${name}: replay`);
        for (const [place, param] of drawn.params.entries()) {
          if (rule[place].length === 0) continue;
          const { measured, doubt, claimed, jumped } = await slopes(
            native,
            drawn,
            param,
            rule[place],
            drawn.inputs.length,
          );
          const close = Math.abs(measured - claimed) <= doubt + truncation * Math.max(1, Math.abs(measured));
          if (!close && !jumped)
            expect.fail(`${name}: slope of input ${param} is ${measured}, its gradient says ${claimed}`);
        }
      }),
      { numRuns: 50 },
    );
  });
});
