// Element types: what a number is. How numbers are packed into fewer bits is a scheme (quant/schemes), never a type.

export type DType = "f32" | "i32" | "u32";

/** The typed arrays that hold elements on the host. */
export type Elements = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** Every element type takes four bytes, so a view can be read as another type without moving anything. */
export const BYTES_PER_ELEMENT = 4;

/** A typed array of `dtype` over `buffer`, from `byteOffset` (a multiple of 4), `length` elements long. */
export function elementsOver(dtype: DType, buffer: ArrayBuffer, byteOffset: number, length: number): Elements {
  if (dtype === "f32") return new Float32Array(buffer, byteOffset, length);
  if (dtype === "i32") return new Int32Array(buffer, byteOffset, length);
  return new Uint32Array(buffer, byteOffset, length);
}

/** The element type that a typed array holds; undefined for bytes, doubles and the like. */
export function dtypeOf(array: Float32Array | Int32Array | Uint32Array): DType | undefined {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Int32Array) return "i32";
  return array instanceof Uint32Array ? "u32" : undefined;
}
