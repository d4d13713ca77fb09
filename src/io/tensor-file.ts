// Writes tensors into a safetensors file piece by piece, so that a model larger than one buffer can be saved, and beside it only one piece is
// in memory.
import { BYTES_PER_ELEMENT, type Elements } from "../core/dtype.js";
import { sizeOf } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { planSafetensors, type SafetensorsPlan, type TensorSpec } from "./safetensors-writer.js";

/** A tensor of a file and where its numbers are: `tensor`'s elements from `start` on. */
export interface TensorSlice extends TensorSpec {
  readonly tensor: Tensor;
  readonly start: number;
}

/** Turns a piece of a tensor into bytes. */
export type EncodePiece = (slice: TensorSlice, data: Elements) => Uint8Array;

export interface TensorFile {
  readonly byteLength: number;
  /** The bytes, piece after piece. */
  pieces(): AsyncIterable<Uint8Array>;
  /** The bytes at once. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Elements of one read from a backend. */
export const PIECE_ELEMENTS: number = 2 ** 23;

/** Lays the file out at once, so errors come before anything is written. @throws FormatError as `planSafetensors` does */
export function tensorFile(
  slices: readonly TensorSlice[],
  metadata: Readonly<Record<string, string>>,
  encode: EncodePiece = (_, data) => bytesOf(data),
): TensorFile {
  const plan = planSafetensors(slices, metadata);
  return fileOf(plan.byteLength, () => piecesOf(plan, encode));
}

/** A file of `byteLength` out of its pieces. */
export function fileOf(byteLength: number, pieces: () => AsyncIterable<Uint8Array>): TensorFile {
  return {
    byteLength,
    pieces,
    async bytes() {
      const file = new Uint8Array(byteLength);
      let at = 0;
      for await (const piece of pieces()) {
        file.set(piece, at);
        at += piece.byteLength;
      }
      return file;
    },
  };
}

async function* piecesOf(plan: SafetensorsPlan<TensorSlice>, encode: EncodePiece): AsyncGenerator<Uint8Array> {
  yield plan.head;
  for (const slice of plan.tensors) {
    const size = sizeOf(slice.shape);
    for (let at = 0; at < size; at += PIECE_ELEMENTS) {
      const length = Math.min(PIECE_ELEMENTS, size - at);
      yield encode(slice, await readPart(slice.tensor, slice.start + at, length));
    }
  }
}

export async function readPart(tensor: Tensor, start: number, length: number): Promise<Elements> {
  const part = tensor.window([length], tensor.dtype, start);
  try {
    return await part.data();
  } finally {
    part.dispose();
  }
}

function bytesOf(data: Elements): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.length * BYTES_PER_ELEMENT);
}
