// Holds what a backend computed against what the oracle says it may be.
import type { DType } from "../core/dtype.js";
import { showShape, type Shape } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { wordsOf, type Numbers32 } from "./operands.js";
import type { Estimate, Oracle } from "./oracle/oracle.js";

/** An output of the backend, on the host. */
export interface Output {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: Numbers32;
}

/** An output of the oracle. */
export interface Expected extends Estimate {
  readonly dtype: DType;
  readonly shape: Shape;
}

export async function expectedOf(oracle: Oracle, outputs: readonly Tensor[]): Promise<Expected[]> {
  return Promise.all(
    outputs.map(async (output) => ({
      ...(await oracle.inspect(output)),
      dtype: output.dtype,
      shape: output.shape,
    })),
  );
}

/** Counts what was really compared, so that a suite which compared nothing is seen. */
export interface Tally {
  /** Drawn calls that were run to the end. */
  drawn: number;
  /** Elements that had a finite bound. */
  compared: number;
  /** How often the kernel of the op ran. */
  native: number;
}

/** The first element that lies outside its bound, in words; undefined if none does. */
export function mismatch(
  got: readonly Output[],
  expected: readonly Expected[],
  accuracy: "ieee" | "wgsl",
  tally?: Tally,
): string | undefined {
  if (got.length !== expected.length) return `${got.length} outputs must be ${expected.length}`;
  for (let i = 0; i < got.length; i++) {
    const [output, estimate] = [got[i], expected[i]];
    const form = ({ dtype, shape }: Output | Expected): string => `${dtype}${showShape(shape)}`;
    if (form(output) !== form(estimate)) return `output ${i} is ${form(output)} and must be ${form(estimate)}`;
    const wrong = wrongElement(output, estimate, accuracy, tally);
    if (wrong) return `output ${i} ${form(output)} ${wrong}`;
  }
  return undefined;
}

function wrongElement(
  output: Output,
  estimate: Expected,
  accuracy: "ieee" | "wgsl",
  tally?: Tally,
): string | undefined {
  const { data } = output;
  const words = wordsOf(data);
  for (let j = 0; j < data.length; j++) {
    const [value, bound] = [estimate.value[j], estimate.bound[j]];
    if (bound === Infinity) continue;
    // An integer in doubt is judged by a law of its op's own, or by the numbers that are made of it.
    if (output.dtype !== "f32" && bound > 0) continue;
    if (tally) tally.compared++;
    if (estimate.moved[j] && (accuracy === "ieee" || output.dtype !== "f32")) {
      if (words[j] === estimate.words[j]) continue;
      return `[${j}] has the bits ${hex(words[j])} and must have ${hex(estimate.words[j])}, ${data[j]} and ${value}`;
    }
    if (within(data[j], value, accuracy === "wgsl" ? flushed(value, bound) : bound)) continue;
    return `[${j}] is ${data[j]} and must be ${value} within ${bound}, off by ${Math.abs(data[j] - value)}`;
  }
  return undefined;
}

function within(got: number, value: number, bound: number): boolean {
  if (bound === Infinity) return true;
  if (Number.isNaN(value)) return Number.isNaN(got);
  return got === value || Math.abs(got - value) <= bound;
}

/** Under `wgsl` a number that is only moved may be flushed on the way, and NaN and infinities may become anything. */
function flushed(value: number, bound: number): number {
  if (!Number.isFinite(value)) return Infinity;
  return Math.abs(value) < 2 ** -126 ? bound + 2 ** -126 : bound;
}

const hex = (word: number): string => `0x${word.toString(16).padStart(8, "0")}`;

/** The first element whose bits differ between two runs; undefined if none do. */
export function difference(a: readonly Output[], b: readonly Output[]): { output: number; at: number } | undefined {
  for (let output = 0; output < a.length; output++) {
    const [x, y] = [wordsOf(a[output].data), wordsOf(b[output].data)];
    for (let at = 0; at < x.length; at++) if (x[at] !== y[at]) return { output, at };
  }
  return undefined;
}
