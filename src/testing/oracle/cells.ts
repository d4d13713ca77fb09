// From views to numbers with bounds, and back. A bitcast is a view of another type over the same cells: it keeps the word, and a bound in
// one meaning says nothing in the other.
import { sizeOf, stridesOf, type Shape } from "../../core/shape.js";
import type { View } from "../../core/view.js";
import { kinds, oracleStorage } from "./memory.js";
import type { Profile } from "./profile.js";
import { SMALLEST_NORMAL } from "./float32.js";

/** Numbers in f64, each with the most that f32 arithmetic may have moved it; Infinity where nothing can be said. */
export interface Numbers {
  readonly value: Float64Array;
  readonly bound: Float64Array;
}

export function blank(length: number): Numbers {
  return { value: new Float64Array(length), bound: new Float64Array(length) };
}

/** The elements of a view as an operand of arithmetic under `profile`. */
export function load(view: View, profile: Profile): Numbers {
  const numbers = contents(view);
  if (view.dtype !== "f32") return numbers;
  const { value, bound } = numbers;
  for (let i = 0; i < value.length; i++) {
    if (!profile.specials && !Number.isFinite(value[i])) bound[i] = Infinity;
    const size = Math.abs(value[i]);
    if (profile.flushes && size - bound[i] < SMALLEST_NORMAL) bound[i] += Math.min(size + bound[i], SMALLEST_NORMAL);
  }
  return numbers;
}

/** The elements of a view as they stand. */
export function contents(view: View): Numbers {
  const { words, value, bound, kind } = oracleStorage(view.storage);
  const length = sizeOf(view.shape);
  const numbers = blank(length);
  const float = view.dtype === "f32";
  const host = float
    ? new Float32Array(words.buffer, view.offset * 4, length)
    : view.dtype === "i32"
      ? new Int32Array(words.buffer, view.offset * 4, length)
      : new Uint32Array(words.buffer, view.offset * 4, length);
  for (let i = 0; i < length; i++) {
    const at = view.offset + i;
    const own = kind[at] === (float ? kinds.float : kinds.word);
    numbers.value[i] = float && own ? value[at] : host[i];
    numbers.bound[i] = own || bound[at] === 0 ? bound[at] : Infinity;
  }
  return numbers;
}

/** Results of arithmetic. Integers wrap. */
export function store(view: View, { value, bound }: Numbers): void {
  const own = oracleStorage(view.storage);
  const length = sizeOf(view.shape);
  const { offset } = view;
  own.bound.set(bound, offset);
  if (view.dtype === "f32") {
    new Float32Array(own.words.buffer, offset * 4, length).set(value);
    own.value.set(value, offset);
    own.kind.fill(kinds.float, offset, offset + length);
  } else {
    for (let i = 0; i < length; i++) own.words[offset + i] = value[i];
    own.kind.fill(kinds.word, offset, offset + length);
  }
}

/** Copies cells as they are: element from[i] of x becomes element to[i] of y. */
export function move(x: View, from: Int32Array, y: View, to: Int32Array): void {
  const source = oracleStorage(x.storage);
  const target = oracleStorage(y.storage);
  for (let i = 0; i < from.length; i++) {
    const at = x.offset + from[i];
    const into = y.offset + to[i];
    target.words[into] = source.words[at];
    target.value[into] = source.value[at];
    target.bound[into] = source.bound[at];
    target.kind[into] = source.kind[at];
  }
}

/** Makes elements [from, from + count) of y zeros, or, where even that is not sure, anything. */
export function clear(y: View, from: number, count: number, bound: number = 0): void {
  const { words, value, bound: bounds, kind } = oracleStorage(y.storage);
  const start = y.offset + from;
  words.fill(0, start, start + count);
  value.fill(0, start, start + count);
  bounds.fill(bound, start, start + count);
  kind.fill(y.dtype === "f32" ? kinds.float : kinds.word, start, start + count);
}

/** Takes away all that is known of elements [from, from + count). */
export function blur(y: View, from: number, count: number): void {
  const { bound, kind, value, words } = oracleStorage(y.storage);
  const float = y.dtype === "f32" ? new Float32Array(words.buffer) : undefined;
  for (let at = y.offset + from; at < y.offset + from + count; at++) {
    if (float && kind[at] !== kinds.float) {
      value[at] = float[at];
      kind[at] = kinds.float;
    }
    bound[at] = Infinity;
  }
}

/** Where the elements of `shape`, in row-major order, lie in memory that is walked by these strides from `start` on. */
export function positions(shape: Shape, strides: readonly number[], start: number = 0): Int32Array {
  const out = new Int32Array(sizeOf(shape));
  if (out.length === 0) return out;
  out[0] = start;
  let filled = 1;
  // Axis by axis from the last: what is filled so far is repeated at each step of the next axis.
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const block = filled;
    for (let i = 1; i < shape[axis]; i++) {
      const shift = i * strides[axis];
      for (let j = 0; j < block; j++) out[filled++] = out[j] + shift;
    }
  }
  return out;
}

/** Strides of an operand that is broadcast to `shape`, aligned at the last axis. */
export function broadcastStrides(operand: Shape, shape: Shape): number[] {
  const own = stridesOf(operand);
  const missing = shape.length - operand.length;
  return shape.map((_, axis) => (axis < missing || operand[axis - missing] === 1 ? 0 : own[axis - missing]));
}

/** 0, 1, ... count - 1. */
export const upTo = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);
