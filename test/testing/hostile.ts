// A backend whose f32 arithmetic is as wrong as its profile allows: sums in random order, functions off by all they may be. What is composed on
// it must still lie within the oracle's bounds. Only the 16 primitives.
import type { Backend, Kernel, Kernels, UnaryOp } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { floats } from "../../src/backends/cpu/read.js";
import { Random } from "../../src/core/random.js";
import { reducedShape, sizeOf } from "../../src/core/shape.js";
import { broadcastStrides, positions } from "../../src/testing/oracle/cells.js";
import { primitiveNames } from "../../src/testing/guards.js";
import { ulp } from "../../src/testing/oracle/float32.js";

const { fround } = Math;

export async function hostile(accuracy: "ieee" | "wgsl", seed = 1): Promise<Backend> {
  const plain = await cpu();
  // Every call draws anew from the same seed, so that equal calls give equal bits.
  let random = new Random(seed);
  const again = (): void => void (random = new Random(seed));
  const sign = (): number => 2 * random.integer(2) - 1;
  /** An f32 number at most `error` from y, most often just so far. */
  const off = (y: number, error: number): number => {
    const moved = y + sign() * Math.max(error - ulp(y) / 2, 0);
    const result = Math.abs(fround(moved) - y) <= error ? fround(moved) : fround(y);
    return accuracy === "wgsl" && Math.abs(result) < 2 ** -126 ? 0 : result;
  };
  const ulps = (y: number, count: number): number => off(y, count * ulp(y));
  const quotient = (a: number, b: number): number => (accuracy === "ieee" ? fround(a / b) : ulps(a / b, 2.5));
  const exp = (x: number): number => {
    const y = Math.exp(x);
    return Number.isFinite(fround(y)) ? ulps(y, accuracy === "ieee" ? 4 : 3 + 2 * Math.abs(x)) : fround(y);
  };
  const ieeeFunctions: Partial<Record<UnaryOp, (x: number) => number>> = {
    exp,
    log: (x) => ulps(Math.log(x), 4),
    sin: (x) => ulps(Math.sin(x), 4),
    cos: (x) => ulps(Math.cos(x), 4),
    rsqrt: (x) => ulps(1 / Math.sqrt(x), 4),
    sigmoid: (x) => ulps(1 / (1 + Math.exp(-x)), 4),
    tanh: (x) => ulps(Math.tanh(x), 4),
  };
  const rsqrt = (x: number): number => ulps(1 / Math.sqrt(x), 2);
  const wgslFunctions: typeof ieeeFunctions = {
    exp,
    log: (x) => (x >= 0.5 && x <= 2 ? off(Math.log(x), 2 ** -21) : ulps(Math.log(x), 3)),
    sin: (x) => off(Math.sin(x), 2 ** -11),
    cos: (x) => off(Math.cos(x), 2 ** -11),
    rsqrt,
    sqrt: (x) => (x === 0 ? 0 : quotient(1, rsqrt(x))),
    sigmoid: (x) => quotient(1, fround(1 + exp(-x))),
    tanh: (x) => off(Math.tanh(x), 1e-5),
  };
  const functions = accuracy === "ieee" ? ieeeFunctions : wgslFunctions;

  /** A sum in random order, each step rounded to f32: two of the numbers that are left become one. */
  const sum = (terms: number[]): number => {
    while (terms.length > 1) {
      const i = random.integer(terms.length);
      const [a] = terms.splice(i, 1);
      const j = random.integer(terms.length);
      terms[j] = fround(terms[j] + a);
    }
    return terms[0] ?? 0;
  };

  const unary: Kernel<"unary", void> = ([x], [y], attrs) => {
    again();
    const apply = x.dtype === "f32" ? functions[attrs.op] : undefined;
    if (!apply) return plain.kernels.unary([x], [y], attrs);
    const from = floats(x);
    floats(y).forEach((_, i, to) => (to[i] = apply(from[i])));
  };
  const binary: Kernel<"binary", void> = (inputs, [y], attrs) => {
    again();
    plain.kernels.binary(inputs, [y], attrs);
    if (attrs.op !== "div" || y.dtype !== "f32" || accuracy === "ieee") return;
    const [a, b] = inputs.map((view) => ({
      at: positions(y.shape, broadcastStrides(view.shape, y.shape)),
      of: floats(view),
    }));
    floats(y).forEach((_, i, to) => (to[i] = quotient(a.of[a.at[i]], b.of[b.at[i]])));
  };
  const reduce: Kernel<"reduce", void> = ([x], [y], attrs) => {
    if (attrs.op !== "sum" || x.dtype !== "f32") return plain.kernels.reduce([x], [y], attrs);
    again();
    const shape = reducedShape("hostile", x.shape, attrs.axes);
    const to = positions(x.shape, broadcastStrides(shape, x.shape));
    const terms: number[][] = Array.from({ length: sizeOf(shape) }, () => []);
    floats(x).forEach((value, i) => terms[to[i]].push(value));
    floats(y).set(terms.map(sum));
  };
  const matmul: Kernel<"matmul", void> = ([a, b], [y], { transposeA, transposeB }) => {
    again();
    const [rows, columns] = y.shape.slice(-2);
    const inner = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const [left, right, out] = [floats(a), floats(b), floats(y)];
    for (let at = 0; at < out.length; at++) {
      const batch = Math.floor(at / (rows * columns));
      const [row, column] = [Math.floor(at / columns) % rows, at % columns];
      const [i, j] = [batch * rows * inner, batch * inner * columns];
      const terms = Array.from({ length: inner }, (_, k) => {
        const p = left[i + (transposeA ? k * rows + row : row * inner + k)];
        return fround(p * right[j + (transposeB ? column * inner + k : k * columns + column)]);
      });
      out[at] = sum(terms);
    }
  };
  const primitives = Object.fromEntries(
    primitiveNames.map((name) => [name, plain.kernels[name]]),
  ) as unknown as Kernels;
  return {
    ...plain,
    name: `hostile (${accuracy})`,
    features: { ...plain.features, accuracy },
    kernels: { ...primitives, unary, binary, reduce, matmul },
  };
}
