// A whole backend in the plainest way, written from docs/backends.md: memory and the sixteen primitives. All other ops are composed of them.
import { DisposedError, OutOfMemoryError } from "qwen-blocks";
import type { Backend, BinaryOp, DType, Kernels, Matrix, Memory, PackedView, Shape, Storage } from "qwen-blocks";
import type { UnaryOp, View } from "qwen-blocks";
import { decode, schemeNamed, schemes } from "qwen-blocks/quant";

const maxBufferBytes = 2 ** 30;

/** A storage of this backend. Without a buffer once the backend is closed. */
class Bytes implements Storage {
  constructor(
    readonly byteLength: number,
    public buffer: ArrayBuffer | undefined = new ArrayBuffer(byteLength),
  ) {}
}

function bufferOf(storage: Storage): ArrayBuffer {
  const { buffer } = storage as Bytes;
  if (buffer === undefined) throw new DisposedError("plain: the backend must be open, got a call after its disposal");
  return buffer;
}

/** Opens the backend. Its memory is its own, so tensors of two of them do not mix. */
export function plain(): Backend {
  const live = new Set<Bytes>();
  let bytes = 0;
  let closed = false;
  const expectOpen = (): void => {
    if (closed) throw new DisposedError("plain: the backend must be open, got a call after its disposal");
  };
  const memory: Memory = {
    alloc(byteLength) {
      expectOpen();
      if (byteLength > maxBufferBytes) {
        throw new OutOfMemoryError(`plain: a buffer must have at most ${maxBufferBytes} bytes, got ${byteLength}`);
      }
      const storage = new Bytes(byteLength);
      live.add(storage);
      bytes += byteLength;
      return storage;
    },
    free(storage) {
      if (live.delete(storage as Bytes)) bytes -= storage.byteLength;
    },
    write: (storage, offset, data) => new Uint8Array(bufferOf(storage)).set(data, offset),
    async read(storage, offset, byteLength) {
      const copy = new Uint8Array(bufferOf(storage).slice(offset, offset + byteLength));
      await new Promise((resolve) => setImmediate(resolve)); // a turn of the event loop, without a timer's millisecond
      return copy;
    },
    usage: () => ({ buffers: live.size, bytes, scratch: 0 }),
  };
  return {
    name: "plain",
    info: { threads: 1 },
    features: {
      accuracy: "ieee", // f64 arithmetic, rounded to f32 as it is stored
      maxBufferBytes,
      schemes: Object.fromEntries(Object.keys(schemes).map((name) => [name, "plain"])),
    },
    memory,
    kernels,
    flush: expectOpen,
    idle: async () => expectOpen(),
    async [Symbol.asyncDispose]() {
      closed = true;
      for (const storage of live) storage.buffer = undefined;
      live.clear();
      bytes = 0;
    },
  };
}

type Numbers = Float32Array | Int32Array | Uint32Array;
type ArrayType<T> = new (buffer: ArrayBuffer, byteOffset: number, length: number) => T;
const arrayTypes: Readonly<Record<DType, ArrayType<Numbers>>> = {
  f32: Float32Array,
  i32: Int32Array,
  u32: Uint32Array,
};

const sizeOf = (shape: Shape): number => shape.reduce((size, extent) => size * extent, 1);
const over = <T>(type: ArrayType<T>, { storage, offset, shape }: View): T =>
  new type(bufferOf(storage), 4 * offset, sizeOf(shape));
const numbers = (view: View): Numbers => over(arrayTypes[view.dtype], view);
const floats = (view: View): Float32Array => over(Float32Array, view);
const ints = (view: View): Int32Array => over(Int32Array, view);
/** What moves numbers moves words: a NaN may lose its bits on the way through a number of JavaScript. */
const words = (view: View): Uint32Array => over(Uint32Array, view);

const stridesOf = (shape: Shape): number[] => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));

/** Where each element of `shape` lies, in row-major order, if a step along axis j is `strides[j]` elements long. */
function places(shape: Shape, strides: readonly number[], first = 0): Uint32Array {
  const all = new Uint32Array(sizeOf(shape)).fill(first);
  shape.forEach((extent, axis) => {
    const inner = sizeOf(shape.slice(axis + 1));
    for (let i = 0; i < all.length; i++) all[i] += (Math.floor(i / inner) % extent) * strides[axis];
  });
  return all;
}

/** Where each element of the box of `shape` at `starts` lies in `whole`. */
function boxPlaces(whole: Shape, starts: readonly number[], shape: Shape): Uint32Array {
  const strides = stridesOf(whole);
  const first = starts.reduce((place, start, axis) => place + start * strides[axis], 0);
  return places(shape, strides, first);
}

/** Where each element of `shape` finds its operand, whose axes of extent 1 and missing axes repeat. */
function broadcastPlaces(operand: Shape, shape: Shape): Uint32Array {
  const strides = stridesOf(operand).map((stride, axis) => (operand[axis] === 1 ? 0 : stride));
  return places(shape, [...shape.slice(operand.length).map(() => 0), ...strides]);
}

function decoded(x: PackedView): Float32Array<ArrayBuffer> {
  const parts = x.parts.map((part) => (part.dtype === "f32" ? floats(part) : words(part)));
  return decode(schemeNamed("plain", x.scheme), parts, x.shape);
}

const wordsOf = (table: Matrix): Uint32Array =>
  "scheme" in table ? new Uint32Array(decoded(table).buffer) : words(table);

/** To the nearest integer, halves to the even one: above 2^52 only integers exist, so the sum itself is rounded. */
function roundToEven(x: number): number {
  const magnitude = Math.abs(x);
  return magnitude < 2 ** 23 ? Math.sign(x) * (magnitude + 2 ** 52 - 2 ** 52) : x; // larger ones are integers
}

const unary: Readonly<Record<Exclude<UnaryOp, "neg" | "abs">, (x: number) => number>> = {
  ...{ exp: Math.exp, log: Math.log, sin: Math.sin, cos: Math.cos, sqrt: Math.sqrt, tanh: Math.tanh },
  rsqrt: (x) => 1 / Math.sqrt(x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  round: roundToEven,
};

/** The array that a result is stored into rounds it to f32, or takes it modulo 2^32. */
const binary: Readonly<Record<BinaryOp, (a: number, b: number, dtype: DType) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b, dtype) => (dtype === "f32" ? a * b : Math.imul(a, b)),
  div: (a, b, dtype) => (dtype === "f32" ? a / b : b === 0 ? 0 : Math.trunc(a / b)),
  min: (a, b) => Math.min(a, b),
  max: (a, b) => Math.max(a, b),
  equal: (a, b) => Number(a === b),
  less: (a, b) => Number(a < b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b) => a << b,
  shiftRight: (a, b, dtype) => (dtype === "i32" ? a >> b : a >>> b),
};

const ranges: Readonly<Record<DType, readonly [least: number, largest: number]>> = {
  f32: [-Infinity, Infinity],
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};

/** Largest first, NaN last. What compares as equal stays in order, and so do two infinities, whose difference is NaN. */
const descending = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b) ? Number(Number.isNaN(a)) - Number(Number.isNaN(b)) : b - a;

const kernels: Kernels = {
  fill(_, [y], { value, step }) {
    const ys = numbers(y);
    const width = y.shape.at(-1) ?? 1;
    for (let i = 0; i < ys.length; i++) ys[i] = step === 0 ? value : value + step * (i % width); // -0 + 0 would be 0
  },

  cast([x], [y]) {
    if (x.dtype === y.dtype) return words(y).set(words(x));
    const [least, largest] = ranges[y.dtype];
    const whole = (n: number): number => Math.min(Math.max(Math.trunc(n), least), largest); // NaN is stored as 0
    numbers(y).set(Array.from(numbers(x), y.dtype === "f32" ? (n) => n : whole));
  },

  permute([x], [y], { axes }) {
    const strides = stridesOf(x.shape);
    const from = places(
      y.shape,
      axes.map((axis) => strides[axis]),
    );
    const xs = words(x);
    words(y).set(from.map((place) => xs[place]));
  },

  slice([x], [y], { starts }) {
    const xs = words(x);
    words(y).set(boxPlaces(x.shape, starts, y.shape).map((place) => xs[place]));
  },

  writeSlice([x], [into], { starts }) {
    const [xs, ys] = [words(x), words(into)];
    boxPlaces(into.shape, starts, x.shape).forEach((place, i) => (ys[place] = xs[i]));
  },

  gatherRows([table, rows], [y]) {
    const [from, ys] = [wordsOf(table), words(y)];
    const width = sizeOf(table.shape.slice(1));
    ints(rows).forEach((row, j) => {
      const exists = row >= 0 && row < table.shape[0];
      if (exists) ys.set(from.subarray(row * width, (row + 1) * width), j * width);
      else ys.fill(0, j * width, (j + 1) * width);
    });
  },

  scatterRows([x, rows], [into], { mode }) {
    const [xs, ys] = mode === "set" ? [words(x), words(into)] : [numbers(x), numbers(into)];
    const width = sizeOf(into.shape.slice(1));
    ints(rows).forEach((row, j) => {
      if (row < 0 || row >= into.shape[0]) return;
      for (let i = 0; i < width; i++)
        ys[row * width + i] = xs[j * width + i] + (mode === "set" ? 0 : ys[row * width + i]);
    });
  },

  unary([x], [y], { op }) {
    if (op !== "neg" && op !== "abs") return floats(y).set(floats(x).map(unary[op]));
    if (x.dtype === "i32") return ints(y).set(ints(x).map((n) => (op === "abs" ? Math.abs(n) : -n)));
    words(y).set(words(x).map((bits) => (op === "abs" ? bits & 0x7fffffff : bits ^ 0x80000000)));
  },

  binary([a, b], [y], { op }) {
    const [as, bs, ys] = [numbers(a), numbers(b), numbers(y)];
    const [fromA, fromB] = [broadcastPlaces(a.shape, y.shape), broadcastPlaces(b.shape, y.shape)];
    for (let i = 0; i < ys.length; i++) ys[i] = binary[op](as[fromA[i]], bs[fromB[i]], a.dtype);
  },

  select([condition, a, b], [y]) {
    const [chosen, as, bs, ys] = [words(condition), words(a), words(b), words(y)];
    const [fromChosen, fromA, fromB] = [condition, a, b].map(({ shape }) => broadcastPlaces(shape, y.shape));
    for (let i = 0; i < ys.length; i++) ys[i] = chosen[fromChosen[i]] !== 0 ? as[fromA[i]] : bs[fromB[i]];
  },

  reduce([x], [y], { op, axes }) {
    const [xs, ys] = [numbers(x), numbers(y)];
    const strides = stridesOf(y.shape).map((stride, axis) => (axes.includes(axis) ? 0 : stride));
    const [least, largest] = ranges[x.dtype];
    const nothing = { sum: 0, max: least, min: largest }[op];
    const totals = x.dtype === "f32" ? new Float64Array(ys.length).fill(nothing) : ys.fill(nothing);
    const join = op === "sum" ? binary.add : binary[op];
    places(x.shape, strides).forEach((place, i) => (totals[place] = join(totals[place], xs[i], x.dtype)));
    if (totals !== ys) ys.set(totals);
  },

  scan([x], [y], { axis, exclusive }) {
    const [xs, ys] = [numbers(x), numbers(y)];
    const [length, inner] = [x.shape[axis], sizeOf(x.shape.slice(axis + 1))];
    for (let column = 0; column < xs.length / length; column++) {
      let total = 0;
      for (let i = 0; i < length; i++) {
        const at = (Math.floor(column / inner) * length + i) * inner + (column % inner);
        const sum = x.dtype === "f32" ? total + xs[at] : (total + xs[at]) | 0;
        ys[at] = exclusive ? total : sum;
        total = sum;
      }
    }
  },

  topK([x], [values, indices], { k }) {
    const [xs, bits, ys, is] = [floats(x), words(x), words(values), ints(indices)];
    const width = x.shape[x.shape.length - 1];
    for (let row = 0; row < (k === 0 ? 0 : ys.length / k); row++) {
      const order = Array.from({ length: width }, (_, i) => i); // sorting is stable
      order.sort((i, j) => descending(xs[row * width + i], xs[row * width + j]));
      for (let i = 0; i < k; i++) {
        is[row * k + i] = order[i];
        ys[row * k + i] = bits[row * width + order[i]];
      }
    }
  },

  matmul([a, b], [y], { transposeA, transposeB }) {
    const [as, bs, ys] = [floats(a), floats(b), floats(y)];
    const [m, n] = y.shape.slice(-2);
    const c = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    for (let i = 0; i < ys.length; i++) {
      const [batch, row, column] = [Math.floor(i / (m * n)), Math.floor(i / n) % m, i % n];
      let total = 0;
      for (let j = 0; j < c; j++) {
        const p = batch * m * c + (transposeA ? j * m + row : row * c + j);
        const q = batch * c * n + (transposeB ? column * c + j : j * n + column);
        total += as[p] * bs[q];
      }
      ys[i] = total;
    }
  },

  quantize([x], [y], { scheme }) {
    schemeNamed("plain", scheme)
      .encode(floats(x), x.shape)
      .forEach((part, i) => {
        words(y.parts[i]).set(new Uint32Array(part.buffer, part.byteOffset, part.length));
      });
  },

  dequantize: ([x], [y]) => floats(y).set(decoded(x)),
};
