// Operands of a drawn call, as the host has them, and how they come onto a backend.
import type { Backend } from "../backends/backend.js";
import { BackendError } from "../core/errors.js";
import { showShape, type Shape } from "../core/shape.js";
import { repack } from "../ops/repack.js";
import { partSpecs, type Scheme, type Words } from "../quant/schemes/scheme.js";
import { tensor } from "../tensor/create.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";

export type Numbers32 = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

export interface PlainOperand {
  readonly shape: Shape;
  readonly data: Numbers32;
}

/** Numbers stored by a scheme; `liked` asks for the layout that the backend likes best, where it can make it. */
export interface PackedOperand {
  readonly shape: Shape;
  readonly scheme: Scheme;
  readonly parts: readonly Words[];
  readonly liked: boolean;
}

export type HostOperand = PlainOperand | PackedOperand | undefined;

/** A plain, packed or absent operand. Each call knows which its own are, so none has to ask. */
export type Handle = Tensor & PackedTensor;

export const isPacked = (operand: HostOperand): operand is PackedOperand =>
  operand !== undefined && "scheme" in operand;

/** Copies an operand to a backend; the caller owns the handle. */
export function upload(backend: Backend, operand: HostOperand): Handle {
  if (operand === undefined) return undefined as unknown as Handle;
  if (!isPacked(operand)) return tensor(backend, operand.data, operand.shape) as Handle;
  const { scheme, shape, parts, liked } = operand;
  const specs = partSpecs(scheme, shape);
  const words = parts.map((part, i) => tensor(backend, part, specs[i].shape));
  const plain = new PackedTensor(scheme, shape, "plain", words);
  const layout = backend.features.schemes[scheme.name] ?? "plain";
  if (!liked || layout === "plain" || !backend.kernels.repack) return plain as Handle;
  try {
    const made = repack(plain, layout);
    plain.dispose();
    return made as Handle;
  } catch (error) {
    if (error instanceof BackendError) return plain as Handle; // what does not divide stays plain
    throw error;
  }
}

/** The tensors that hold an operand. */
export function tensorsOf(handle: Handle | undefined): readonly Tensor[] {
  if (handle === undefined) return [];
  return handle instanceof PackedTensor ? handle.parts : [handle];
}

/** The bits of numbers, 32 at a time. */
export const wordsOf = (data: Words | Numbers32): Uint32Array<ArrayBuffer> =>
  new Uint32Array(data.buffer as ArrayBuffer, data.byteOffset, data.length);

/** A number as messages print it, the sign of zero included. */
export const showNumber = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));

/** `f32[2,3]`, `q8_0[4,32]`, or `-`. */
export function showOperand(operand: HostOperand): string {
  if (operand === undefined) return "-";
  if (isPacked(operand))
    return `${operand.scheme.name}${showShape(operand.shape)}${operand.liked ? " (repacked)" : ""}`;
  const { data } = operand;
  const dtype = data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u32";
  return `${dtype}${showShape(operand.shape)}`;
}
