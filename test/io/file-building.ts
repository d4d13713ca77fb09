// Builds safetensors files byte by byte, also wrong ones: the tests' own writer, so that reader and writer of the library cannot agree on a
// mistake.

/** A file out of a header given as text or as a value, and the bytes behind it. */
export function rawFile(header: unknown, data: Uint8Array | number = 0): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const body = typeof data === "number" ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}

/** The bytes of a typed array. */
export function bytesOf(array: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
}

/** The entry of an f32 tensor in a header. */
export const f32 = (shape: readonly number[], begin: number, end: number): object => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

/** A file of f32 tensors whose elements count up from `first`. */
export function countingFile(shapes: Record<string, readonly number[]>, first = 0): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  const values: number[] = [];
  for (const [name, shape] of Object.entries(shapes)) {
    const size = shape.reduce((product, extent) => product * extent, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [4 * values.length, 4 * (values.length + size)] };
    for (let i = 0; i < size; i++) values.push(first + values.length);
  }
  return rawFile(header, bytesOf(Float32Array.from(values)));
}
