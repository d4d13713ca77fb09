// Writes safetensors files byte for byte as the reference implementation does: large elements first, then by name, the header padded with
// spaces so that every tensor is aligned. The same tensors always give the same bytes.
import { FormatError } from "../core/errors.js";
import { showShape, type Shape } from "../core/shape.js";
import { quote } from "./json-text.js";
import { byteLengthOf, LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY } from "./safetensors.js";
import { rankOf, type StoredDType } from "./stored-elements.js";

/** A tensor as it lies in a file. */
export interface StoredTensor {
  readonly dtype: StoredDType;
  readonly shape: Shape;
  /** Row-major, little-endian. */
  readonly bytes: Uint8Array;
}

/** What the header says about one tensor. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: Shape;
}

/** The first bytes of a file, and the order in which its tensors must follow. */
export interface SafetensorsPlan<S extends TensorSpec> {
  readonly head: Uint8Array<ArrayBuffer>;
  readonly tensors: readonly S[];
  /** Of the whole file. */
  readonly byteLength: number;
}

/**
 * Lays out a file before any number of it is known.
 *
 * @throws FormatError if two tensors share a name, one is called `__metadata__`, or the header grows beyond what the format allows.
 */
export function planSafetensors<S extends TensorSpec>(
  specs: readonly S[],
  metadata: Readonly<Record<string, string>> = {},
): SafetensorsPlan<S> {
  const tensors = [...specs].sort((a, b) => rankOf(b.dtype) - rankOf(a.dtype) || compare(a.name, b.name));
  // Written by hand: an object would reorder names that look like numbers, and lose one called __proto__.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${METADATA_KEY}":${JSON.stringify(metadata)}`);
  const names = new Set([METADATA_KEY]);
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) {
      throw new FormatError(`safetensors: a tensor's name must be unique and not ${METADATA_KEY}, got ${quote(name)}`);
    }
    names.add(name);
    const begin = at;
    at += sizeOfStored(name, dtype, shape);
    const extents = showShape(shape);
    fields.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":${extents},"data_offsets":[${begin},${at}]}`);
  }
  const head = headBytes(`{${fields.join(",")}}`);
  return { head, tensors, byteLength: head.byteLength + at };
}

/**
 * A whole file in memory.
 *
 * @throws FormatError if a tensor's bytes do not fit its type and shape, or as `planSafetensors` does.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const specs = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  const plan = planSafetensors(specs, metadata);
  const file = new Uint8Array(plan.byteLength);
  file.set(plan.head);
  let at = plan.head.byteLength;
  for (const { name, dtype, shape, bytes } of plan.tensors) {
    const expected = sizeOfStored(name, dtype, shape);
    if (bytes.byteLength !== expected) {
      throw new FormatError(
        `safetensors: tensor ${quote(name)}: ${dtype} ${showShape(shape)} must have ${expected} bytes, got ${bytes.byteLength}`,
      );
    }
    file.set(bytes, at);
    at += expected;
  }
  return file;
}

function sizeOfStored(name: string, dtype: StoredDType, shape: Shape): number {
  const size = shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) && byteLengthOf(dtype, shape);
  if (typeof size === "number") return size;
  throw new FormatError(
    `safetensors: tensor ${quote(name)}: the shape must be non-negative integers that fill whole bytes, got ${dtype} ${showShape(shape)}`,
  );
}

function headBytes(json: string): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode(json);
  const length = Math.ceil(header.byteLength / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new FormatError(`safetensors: the header must have at most ${MAX_HEADER_BYTES} bytes, got ${length}`);
  }
  const head = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(length), true);
  head.set(header, LENGTH_BYTES);
  return head;
}

/** By code units: the same on every machine, unlike `localeCompare`. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
