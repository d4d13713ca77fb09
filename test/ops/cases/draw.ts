// How calls of ops are drawn: what a case is, and the arbitraries that cases share.
import fc from "fast-check";
import type { Backend } from "../../../src/backends/backend.js";
import { Random } from "../../../src/core/random.js";
import { sizeOf, type Shape } from "../../../src/core/shape.js";
import { schemes } from "../../../src/quant/schemes/schemes.js";
import { tensor } from "../../../src/tensor/create.js";
import { PackedTensor } from "../../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../../src/tensor/tensor.js";

/** An operand on the host; stored by a scheme where one is named. */
export interface HostOperand {
  readonly shape: Shape;
  readonly data: Float32Array | Int32Array;
  readonly scheme?: string;
}

/** One drawn call. */
export interface OpCase {
  readonly inputs: readonly (HostOperand | undefined)[];
  /** Runs the op; a writer gives what it changed. */
  run(inputs: readonly Operand[]): readonly (Tensor | undefined)[];
  /** The inputs whose gradients mean the slope of the outputs. */
  readonly params: readonly number[];
  /** What a rounding to codes inside the op may change, as a share of the largest output. */
  readonly slack?: number;
}

/** Plain, packed or undefined, as the case's own `inputs` say; each `run` knows which, so none has to ask. */
export type Operand = Tensor & PackedTensor;

export function upload(backend: Backend, operand: HostOperand | undefined): Operand {
  return (operand && made(backend, operand)) as Operand;
}

function made(backend: Backend, operand: HostOperand): Tensor | PackedTensor {
  const { shape, data, scheme } = operand;
  if (!scheme) return tensor(backend, data, shape);
  const parts = schemes[scheme].encode(data as Float32Array, shape).map((words) => tensor(backend, words));
  return new PackedTensor(schemes[scheme], shape, "plain", shaped(parts, shape));
}

/** Parts as `partSpecs` has them: rows of words. */
function shaped(parts: readonly Tensor[], shape: Shape): Tensor[] {
  const rows = sizeOf(shape.slice(0, -1));
  return parts.map((part) => {
    const window = part.window([rows, rows === 0 ? 0 : part.size / rows], part.dtype, 0);
    part.dispose();
    return window;
  });
}

export const extent = fc.integer({ min: 1, max: 5 });
export const rows = fc.integer({ min: 0, max: 5 });
export const eps = fc.constantFrom(1e-6, 1e-2);
export const layout = fc.constantFrom("half" as const, "interleaved" as const);
export const activations = fc.constantFrom("f32" as const, "q8" as const);
export const storedAs = fc.constantFrom(undefined, undefined, "q8_0", "f16");
export const lead = fc.array(rows, { minLength: 0, maxLength: 2 });

export function draw<T extends object>(
  what: { readonly [K in keyof T]: fc.Arbitrary<T[K]> },
  make: (drawn: T, random: Random) => OpCase,
): fc.Arbitrary<OpCase> {
  return fc
    .record({ drawn: fc.record(what) as fc.Arbitrary<T>, seed: fc.nat() })
    .map(({ drawn, seed }) => make(drawn, new Random(seed)));
}

export function normal(random: Random, shape: Shape, std = 1): HostOperand {
  return { shape, data: Float32Array.from({ length: sizeOf(shape) }, () => std * random.normal()) };
}

/** Integers of from to below `to`. */
export function integers(random: Random, shape: Shape, from: number, to: number): HostOperand {
  return { shape, data: Int32Array.from({ length: sizeOf(shape) }, () => from + random.integer(to - from)) };
}

export const packed = (operand: HostOperand, scheme: string | undefined): HostOperand => ({ ...operand, scheme });

/** Inputs of `inputs` that gradients may be taken by: plain f32, at the places named. */
export function plainOf(inputs: OpCase["inputs"], places: readonly number[]): number[] {
  return places.filter((i) => inputs[i] && !inputs[i].scheme);
}
