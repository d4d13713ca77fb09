// What calls are drawn from: extents around tile edges, numbers of several tastes, indices in and out of range. Shapes and attributes
// shrink; numbers follow from a seed.
import fc from "fast-check";
import type { Backend } from "../backends/backend.js";
import { Random } from "../core/random.js";
import { sizeOf, type Shape } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Handle, HostOperand, Numbers32, PlainOperand } from "./operands.js";

/** One call of an op, drawn. */
export interface Drawn {
  readonly inputs: readonly HostOperand[];
  /** Runs the op and gives its outputs; a writer gives what it changed. */
  run(inputs: readonly Handle[], backend: Backend): readonly (Tensor | undefined)[];
  /** The same by its definition, where `run` is another way to it: in f64 values and gradients of both must agree. */
  definition?(inputs: readonly Handle[], backend: Backend): readonly (Tensor | undefined)[];
  /** The inputs by which the outputs have derivatives. */
  readonly params?: readonly number[];
  /** Whether the outputs are smooth around the inputs, so that finite differences mean something. */
  readonly smooth?: boolean;
  /** Whether the gradient counts a rounding as the identity, so that it is no slope, and not what the composite's would be. */
  readonly straightThrough?: boolean;
  /** The inputs that a writer changes. */
  readonly targets?: readonly number[];
  /** What the outputs should be, given the index outputs that the backend chose; in place of `run` on the oracle. */
  forced?(inputs: readonly Handle[], backend: Backend, got: readonly Tensor[]): readonly Tensor[];
  /** A law of the op's own over the outputs on the host: undefined, or what is wrong. */
  verify?(outputs: readonly Numbers32[]): string | undefined;
  /** What the host computes for the first output by rules of its own. */
  readonly reference?: Float32Array;
}

/** A drawn call with what it was drawn from, for reports. */
export interface DrawnCall extends Drawn {
  readonly from: Readonly<Record<string, unknown>>;
  readonly seed: number;
  /** Elements between the start of a storage and an operand in it. */
  readonly offset: number;
}

/** Draws the fields of `what`, then makes a call of them with random numbers from a drawn seed. */
export function draw<T extends object>(
  what: { readonly [K in keyof T]: fc.Arbitrary<T[K]> },
  make: (drawn: T, random: Random) => Drawn,
): fc.Arbitrary<DrawnCall> {
  return fc
    .record({ from: fc.record(what) as fc.Arbitrary<T>, seed: fc.nat({ max: 0xffff }), offset: offsets })
    .map(({ from, seed, offset }) => ({
      ...make(from, new Random(seed)),
      from: from as Readonly<Record<string, unknown>>,
      seed,
      offset,
    }));
}

/** One of these numbers, each as likely; shrinks step by step towards the first. (`constantFrom` would only try the first.) */
export function among(...numbers: readonly number[]): fc.Arbitrary<number> {
  return fc.noBias(fc.nat({ max: numbers.length - 1 })).map((i) => numbers[i]);
}

/** 0, odd ones, and multiples of vector widths. */
export const offsets: fc.Arbitrary<number> = among(0, 1, 2, 3, 4, 5, 8, 17, 64);
/** Sizes at and around the edges of tiles. */
export const positive: fc.Arbitrary<number> = among(1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65);
/** Axes that multiply the work. */
export const fewPositive: fc.Arbitrary<number> = among(1, 2, 3, 4);
/** The same, and now and then 0. */
export const extent: fc.Arbitrary<number> = orZero(positive);
export const few: fc.Arbitrary<number> = orZero(fewPositive);
/** Rows that each fill some slots: with 9 there are enough of them that a kernel may group them by expert. */
export const slotRows: fc.Arbitrary<number> = fc.oneof(
  { arbitrary: few, weight: 3 },
  { arbitrary: among(9), weight: 1 },
);
/** Rows of a matrix that is read in panels. */
export const outputs: fc.Arbitrary<number> = fc.oneof(
  { withCrossShrink: true },
  { arbitrary: extent, weight: 3 },
  { arbitrary: among(65, 67, 128, 129), weight: 1 },
);

function orZero(size: fc.Arbitrary<number>): fc.Arbitrary<number> {
  return fc.oneof({ withCrossShrink: true }, { arbitrary: size, weight: 15 }, { arbitrary: fc.constant(0), weight: 1 });
}

/** The axes before the last one: up to two. */
export const lead: fc.Arbitrary<number[]> = fc.array(few, { maxLength: 2 });
/** A whole shape of up to four axes. */
export const shapes: fc.Arbitrary<number[]> = fc.oneof(
  fc.array(few, { maxLength: 4 }),
  fc.tuple(few, extent).map(([a, b]) => [a, b]),
  fc.tuple(few, fewPositive, extent).map(([a, b, c]) => [a, b, c]),
  fc.tuple(fewPositive, few, fewPositive, extent).map(([a, b, c, d]) => [a, b, c, d]),
);
export const epsilon: fc.Arbitrary<number> = fc.constantFrom(1e-6, 1e-5, 1e-2);
export const ropeLayout: fc.Arbitrary<"half" | "interleaved"> = fc.constantFrom("half", "interleaved");
export const activations: fc.Arbitrary<"f32" | "q8"> = fc.constantFrom("f32", "q8");
export const anyType: fc.Arbitrary<"f32" | "i32" | "u32"> = fc.constantFrom("f32", "f32", "i32", "u32");

/**
 * `normal`: of magnitude 1. `grid`: all different and far apart, where a largest one matters. `ties`: few values, zeros among them.
 * `wide`: magnitudes from 2^-20 to 2^20, and zeros.
 */
export type Taste = "normal" | "grid" | "ties" | "wide";
export const taste: fc.Arbitrary<Taste> = fc.constantFrom("normal", "grid", "ties", "wide");

/** The distance of neighbours on a grid; none is 0, and half a step moves a second operand away from the first. */
export const GRID: number = 2 ** -5;

/** f32 numbers of a taste. */
export function floats(random: Random, shape: Shape, of: Taste = "normal", scale: number = 1): PlainOperand {
  const length = sizeOf(shape);
  const places = of === "grid" ? shuffled(random, length) : undefined;
  const next = (i: number): number => {
    if (places) return (places[i] - Math.floor(length / 2) + 0.25) * GRID;
    if (of === "ties") return random.integer(5) - 2;
    if (of === "normal") return random.normal();
    return random.integer(8) === 0 ? 0 : random.normal() * 2 ** (random.integer(41) - 20);
  };
  return { shape, data: Float32Array.from({ length }, (_, i) => scale * next(i)) };
}

/** Where a row of logits lies as a whole: a softmax may not overflow or vanish because of it. */
export const level: fc.Arbitrary<number> = among(0, 0, -1000, 1000);

/** All numbers moved up by as much. */
export const raised = ({ shape, data }: PlainOperand, by: number): PlainOperand => ({
  shape,
  data: by === 0 ? data : data.map((x) => x + by),
});

/** Any f32 numbers: those of a taste, NaN, infinities, both zeros, subnormal and the largest ones. */
export function special(random: Random, shape: Shape): PlainOperand {
  const odd = [NaN, Infinity, -Infinity, 0, -0, 2 ** -149, -(2 ** -130), 3.4028234663852886e38, -3.4028234663852886e38];
  const { data } = floats(random, shape, "wide");
  for (let i = 0; i < data.length; i++) if (random.integer(3) === 0) data[i] = odd[random.integer(odd.length)];
  return { shape, data };
}

/** Integers of `from` to below `to`. */
export function integers(random: Random, shape: Shape, from: number, to: number): PlainOperand {
  return { shape, data: Int32Array.from({ length: sizeOf(shape) }, () => from + random.integer(to - from)) };
}

/** Rows of a table of `count`, -1 and others out of range among them. */
export function rowIndices(random: Random, shape: Shape, count: number): PlainOperand {
  const outside = [-1, -1, -2, count, count + 1, 2 ** 31 - 1, -(2 ** 31)];
  const next = (): number =>
    count === 0 || random.integer(5) === 0 ? outside[random.integer(outside.length)] : random.integer(count);
  return { shape, data: Int32Array.from({ length: sizeOf(shape) }, next) };
}

/** Any words of a type: small numbers, the ends of the range, and random bits. */
export function anyWords(random: Random, shape: Shape, dtype: "f32" | "i32" | "u32", finite = false): PlainOperand {
  if (dtype === "f32" && finite) return floats(random, shape, "wide");
  const next = (): number => {
    const pick = random.integer(4);
    if (pick === 0) return random.integer(7) - 3;
    if (pick === 1) return [2 ** 31 - 1, -(2 ** 31), 2 ** 32 - 1, 0][random.integer(4)];
    return random.integer(2 ** 32);
  };
  const words = new Uint32Array(sizeOf(shape));
  for (let i = 0; i < words.length; i++) words[i] = next();
  if (dtype === "u32") return { shape, data: words };
  return { shape, data: dtype === "i32" ? new Int32Array(words.buffer) : new Float32Array(words.buffer) };
}

/** 0 .. length - 1 in random order. */
export function shuffled(random: Random, length: number): Int32Array {
  const order = Int32Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
