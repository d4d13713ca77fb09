// What a kernel sees: windows over a backend's memory, without owners. Plain data, so a recording can outlive the handles it came from.
import type { DType } from "./dtype.js";
import type { Shape } from "./shape.js";

/** The name of a way to store numbers in fewer bits: "f16", "bf16", "q8_0", "q4_0", ... */
export type SchemeName = string;

/** Bytes owned by one backend; opaque to everybody else. */
export interface Storage {
  readonly byteLength: number;
}

/** A contiguous row-major window; `offset` counts elements. */
export interface View {
  readonly storage: Storage;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly offset: number;
}

/** Numbers stored by a scheme: its parts in the scheme's order, in rows ("plain") or in an order of the backend's own. */
export interface PackedView {
  readonly scheme: SchemeName;
  readonly shape: Shape;
  readonly layout: string;
  readonly parts: readonly View[];
}

export type Matrix = View | PackedView;
export type Operand = Matrix | undefined;
export type Attr = number | boolean | string | readonly number[];

/** The signature of one op: what it reads, what it writes, and the attributes that choose its meaning. */
export interface Op<
  I extends readonly Operand[],
  O extends readonly Operand[],
  A extends Record<string, Attr> = Record<never, never>,
> {
  readonly inputs: I;
  readonly outputs: O;
  readonly attrs: A;
}

/** Tells packed numbers from a plain window; an operand that was left out is neither. */
export function isPackedView(operand: Operand): operand is PackedView {
  return operand !== undefined && "scheme" in operand;
}

/** The plain views of an operand: itself, the parts of a packed one, or nothing. */
export function viewsOf(operand: Operand): readonly View[] {
  if (operand === undefined) return [];
  return isPackedView(operand) ? operand.parts : [operand];
}
