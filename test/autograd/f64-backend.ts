// A backend that computes in f64: the 16 primitives as plain loops over numbers. Composites, rules and whole models run on it unchanged, so
// finite differences there are good to about 1e-8, and what f32 backends give can be judged against it.
import type { Backend, BinaryOp, Kernels, UnaryOp } from "../../src/backends/backend.js";
import { sizeOf, stridesOf } from "../../src/core/shape.js";
import type { Operand, Storage, View } from "../../src/core/view.js";
import { Tensor } from "../../src/tensor/tensor.js";

/** Elements as numbers; what the host wrote stays bits until a kernel says what type they are. */
class Cells implements Storage {
  readonly byteLength: number;
  readonly values: Float64Array;
  readonly bits: Uint32Array;
  readonly raw: Uint8Array;

  constructor(byteLength: number) {
    this.byteLength = byteLength;
    this.values = new Float64Array(byteLength / 4).fill(NaN);
    this.bits = new Uint32Array(byteLength / 4);
    this.raw = new Uint8Array(byteLength / 4);
  }
}

const word = new Uint32Array(1);
const asFloat = new Float32Array(word.buffer);
const asInt = new Int32Array(word.buffer);

function decode(bits: number, dtype: View["dtype"]): number {
  word[0] = bits;
  return dtype === "f32" ? asFloat[0] : dtype === "i32" ? asInt[0] : bits;
}

function get(operand: Operand): Float64Array {
  const { storage, offset, shape, dtype } = operand as View;
  const { values, bits, raw } = storage as Cells;
  const out = values.slice(offset, offset + sizeOf(shape));
  for (let i = 0; i < out.length; i++) if (raw[offset + i]) out[i] = decode(bits[offset + i], dtype);
  return out;
}

function put(operand: Operand, numbers: ArrayLike<number>): void {
  const { storage, offset } = operand as View;
  (storage as Cells).values.set(numbers, offset);
  (storage as Cells).raw.fill(0, offset, offset + numbers.length);
}

/** The numbers of a tensor of this backend, in f64. */
export const peek = (x: Tensor): Float64Array => get(x.view);
/** Overwrites a tensor of this backend with f64 numbers, unseen by any tape. */
export const poke = (x: Tensor, numbers: ArrayLike<number>): void => put(x.view, numbers);
/** An f32 tensor of this backend that holds f64 numbers. */
export function exact(backend: Backend, numbers: ArrayLike<number>, shape: readonly number[]): Tensor {
  const made = Tensor.allocate(backend, shape);
  poke(made, numbers);
  return made;
}

const even = (x: number): number => {
  const floor = Math.floor(x);
  const half = x - floor;
  return half < 0.5 || (half === 0.5 && floor % 2 === 0) ? floor : floor + 1;
};
const unary: Record<UnaryOp, (x: number) => number> = {
  neg: (x) => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  round: even,
};
const binary: Record<BinaryOp, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: Math.min,
  max: Math.max,
  equal: (a, b) => +(a === b),
  less: (a, b) => +(a < b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shiftLeft: (a, b) => a << b,
  shiftRight: (a, b) => a >> b,
};
const toType = (x: number, dtype: View["dtype"]): number => {
  if (dtype === "f32") return x;
  const [least, most] = dtype === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  return Number.isNaN(x) ? 0 : Math.min(most, Math.max(least, Math.trunc(x)));
};
const wrap = (x: number, dtype: View["dtype"]): number => (dtype === "f32" ? x : dtype === "i32" ? x | 0 : x >>> 0);

/** For each element of `shape`, where an operand of shape `from` (aligned at the last axis, extent 1 repeated) has it. */
function places(from: readonly number[], shape: readonly number[]): Int32Array {
  const out = new Int32Array(sizeOf(shape));
  const steps = stridesOf(from).map((stride, axis) => (from[axis] === 1 ? 0 : stride));
  const lead = shape.length - from.length;
  let inner = 1;
  for (let axis = shape.length - 1; axis >= lead; axis--) {
    const step = steps[axis - lead];
    if (step > 0) for (let i = 0; i < out.length; i++) out[i] += (Math.floor(i / inner) % shape[axis]) * step;
    inner *= shape[axis];
  }
  return out;
}

const box = (inner: readonly number[], outer: readonly number[], starts: readonly number[]): number[] => {
  const [small, large] = [stridesOf(inner), stridesOf(outer)];
  return Array.from({ length: sizeOf(inner) }, (_, index) =>
    inner.reduce(
      (at, extent, axis) => at + ((Math.floor(index / small[axis]) % extent) + starts[axis]) * large[axis],
      0,
    ),
  );
};

const none = (): never => {
  throw new Error("f64 backend: packed numbers are not covered");
};

const kernels: Kernels = {
  fill: (_, [y], { value, step }) => {
    const width = y.shape.at(-1) ?? 1;
    put(
      y,
      Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => value + step * (i % width)),
    );
  },
  cast: ([x], [y]) => put(y, get(x).map((v) => toType(v, y.dtype))), // prettier-ignore
  permute: ([x], [y], { axes }) => {
    const [data, from, to] = [get(x), stridesOf(x.shape), stridesOf(y.shape)];
    const at = (i: number): number =>
      axes.reduce((sum, axis, j) => sum + (Math.floor(i / to[j]) % y.shape[j]) * from[axis], 0);
    put(y, data.map((_, i) => data[at(i)])); // prettier-ignore
  },
  slice: ([x], [y], { starts }) => {
    const data = get(x);
    put(y, box(y.shape, x.shape, starts).map((at) => data[at])); // prettier-ignore
  },
  writeSlice: ([x], [into], { starts }) => {
    const [data, all] = [get(x), get(into)];
    box(x.shape, into.shape, starts).forEach((at, i) => (all[at] = data[i]));
    put(into, all);
  },
  gatherRows: ([table, rows], [y]) => {
    const { storage, dtype, shape, offset } = table as View;
    const width = sizeOf(shape.slice(1));
    // Row by row, because tables of angles are long.
    const out = [...get(rows)].flatMap((row) =>
      row >= 0 && row < shape[0]
        ? [...get({ storage, dtype, shape: [width], offset: offset + row * width })]
        : Array<number>(width).fill(0),
    );
    put(y, out);
  },
  scatterRows: ([x, rows], [into], { mode }) => {
    const [count, width] = [into.shape[0], sizeOf(into.shape.slice(1))];
    const [data, all] = [get(x), get(into)];
    get(rows).forEach((row, i) => {
      if (row < 0 || row >= count) return;
      for (let j = 0; j < width; j++) {
        all[row * width + j] = data[i * width + j] + (mode === "add" ? all[row * width + j] : 0);
      }
    });
    put(into, all);
  },
  unary: ([x], [y], { op }) => put(y, get(x).map(unary[op])),
  binary: ([a, b], [y], { op }) => {
    const [left, right] = [get(a), get(b)];
    const [ofA, ofB] = [places(a.shape, y.shape), places(b.shape, y.shape)];
    const of = (i: number): number => wrap(binary[op](left[ofA[i]], right[ofB[i]]), y.dtype);
    put(
      y,
      Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => of(i)),
    );
  },
  select: ([condition, a, b], [y]) => {
    const [c, left, right] = [get(condition), get(a), get(b)];
    const [ofC, ofA, ofB] = [condition, a, b].map(({ shape }) => places(shape, y.shape));
    put(
      y,
      Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => (c[ofC[i]] ? left[ofA[i]] : right[ofB[i]])),
    );
  },
  reduce: ([x], [y], { op }) => {
    const join = op === "sum" ? binary.add : binary[op];
    const out = new Float64Array(sizeOf(y.shape)).fill(op === "sum" ? 0 : op === "max" ? -Infinity : Infinity);
    const to = places(y.shape, x.shape);
    get(x).forEach((v, i) => (out[to[i]] = join(out[to[i]], v)));
    put(y, out);
  },
  scan: ([x], [y], { axis, exclusive }) => {
    const stride = stridesOf(x.shape)[axis];
    const data = get(x);
    const out = new Float64Array(data.length);
    const running = new Map<number, number>();
    data.forEach((v, i) => {
      const line = Math.floor(i / (stride * x.shape[axis])) * stride + (i % stride);
      const before = running.get(line) ?? 0;
      out[i] = exclusive ? before : before + v;
      running.set(line, before + v);
    });
    put(y, out);
  },
  topK: ([x], [values, indices], { k }) => {
    const width = x.shape.at(-1) as number;
    const data = get(x);
    const best = Array.from({ length: data.length / width }, (_, r) => {
      const row = data.subarray(r * width, (r + 1) * width);
      const order = Array.from(row.keys()).sort((i, j) => row[j] - row[i] || i - j);
      return order.slice(0, k).map((i) => [row[i], i]);
    }).flat();
    put(values, best.map(([v]) => v)); // prettier-ignore
    put(indices, best.map(([, i]) => i)); // prettier-ignore
  },
  matmul: ([a, b], [y], { transposeA, transposeB }) => {
    const [left, right] = [get(a), get(b)];
    const [m, n] = y.shape.slice(-2);
    const inner = a.shape.at(transposeA ? -2 : -1) as number;
    const out = new Float64Array(sizeOf(y.shape));
    out.forEach((_, at) => {
      const [batch, i, j] = [Math.floor(at / (m * n)), Math.floor(at / n) % m, at % n];
      let sum = 0;
      for (let p = 0; p < inner; p++) {
        const l = left[batch * m * inner + (transposeA ? p * m + i : i * inner + p)];
        sum += l * right[batch * n * inner + (transposeB ? j * inner + p : p * n + j)];
      }
      out[at] = sum;
    });
    put(y, out);
  },
  quantize: none,
  dequantize: none,
};

/** Opens a backend that computes in f64 and has no fused kernels. Read it with {@link peek}. */
export function f64(): Backend {
  let buffers = 0;
  return {
    name: "f64",
    info: {},
    features: { accuracy: "ieee", maxBufferBytes: 2 ** 31, schemes: {} },
    kernels,
    memory: {
      alloc: (byteLength) => (buffers++, new Cells(byteLength)),
      free: () => void buffers--,
      write(storage, offset, bytes) {
        const words = new Uint32Array(bytes.slice().buffer);
        (storage as Cells).bits.set(words, offset / 4);
        (storage as Cells).raw.fill(1, offset / 4, offset / 4 + words.length);
      },
      read: () => Promise.reject(new Error("f64 backend: peek() at it")),
      usage: () => ({ buffers, bytes: 0, scratch: 0 }),
    },
    flush() {},
    idle: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
