import { add, mul, tensor, OutOfMemoryError, type Backend, type Kernels, type Memory, type View } from "qwen-blocks";

class Bytes {
  constructor(
    readonly byteLength: number,
    readonly buffer = new ArrayBuffer(byteLength),
  ) {}
}
let buffers = 0;
let bytes = 0;
const bufferOf = (storage: object): ArrayBuffer => (storage as Bytes).buffer;
const memory: Memory = {
  alloc(byteLength) {
    if (byteLength > 2 ** 30) throw new OutOfMemoryError(`mine: at most 1 GiB in a buffer, got ${byteLength}`);
    buffers++;
    bytes += byteLength;
    return new Bytes(byteLength);
  },
  free(storage) {
    buffers--;
    bytes -= storage.byteLength;
  },
  write: (storage, offset, data) => new Uint8Array(bufferOf(storage)).set(data, offset),
  async read(storage, offset, byteLength) {
    const copy = new Uint8Array(bufferOf(storage).slice(offset, offset + byteLength));
    await new Promise((resolve) => setTimeout(resolve, 0)); // a turn of the event loop
    return copy;
  },
  usage: () => ({ buffers, bytes, scratch: 0 }),
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);
const floats = (v: View): Float32Array => new Float32Array(bufferOf(v.storage), 4 * v.offset, sizeOf(v.shape));
const some: Pick<Kernels, "fill" | "binary"> = {
  fill(_, [y], { value, step }) {
    const width = y.shape.at(-1) ?? 1; // f32 only, so far
    floats(y).forEach((_, i, out) => (out[i] = value + step * (i % width)));
  },
  binary([a, b], [y], { op }) {
    const [as, bs, ys] = [floats(a), floats(b), floats(y)]; // broadcasts a single number only, so far
    for (let i = 0; i < ys.length; i++) {
      const [p, q] = [as[i % as.length], bs[i % bs.length]];
      ys[i] = op === "add" ? p + q : op === "mul" ? p * q : NaN;
    }
  },
};

const mine: Backend = {
  name: "mine",
  info: { threads: 1 },
  features: { accuracy: "ieee", maxBufferBytes: 2 ** 30, schemes: { q8_0: "plain" } },
  memory,
  kernels: some as Kernels, // fourteen to go; a call of one that is missing is a BackendError that names it
  flush() {},
  async idle() {},
  async [Symbol.asyncDispose]() {},
};
const x = tensor(mine, [1, 2, 3]);
console.log(await add(mul(x, 10), 1).data()); // 11 21 31
