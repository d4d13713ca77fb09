// One function of two numbers of one type, elementwise with broadcasting. Integers wrap, divide towards 0, and by 0 give 0; shifts count
// modulo 32.
import { DTypeError } from "../../../core/errors.js";
import { stridesOf } from "../../../core/shape.js";
import type { BinaryOp, Kernel } from "../../backend.js";
import { broadcastStrides } from "../../loops.js";
import { forEachRun } from "../nest.js";
import { elements, floats, words } from "../read.js";

export const binary: Kernel<"binary", void> = ([a, b], [y], { op }) => {
  const strides = [broadcastStrides(a.shape, y.shape), broadcastStrides(b.shape, y.shape), stridesOf(y.shape)];
  if (a.dtype !== "f32") {
    const [as, bs, ys] = [elements(a), elements(b), elements(y)];
    const signed = a.dtype === "i32";
    forEachRun(y.shape, strides, ([aAt, bAt, yAt], count, [aStep, bStep, yStep]) => {
      for (let i = 0; i < count; i++) {
        ys[yAt + i * yStep] = ofIntegers(op, as[aAt + i * aStep], bs[bAt + i * bStep], signed);
      }
    });
  } else if (op === "equal" || op === "less") {
    const [as, bs, ys] = [floats(a), floats(b), words(y)];
    forEachRun(y.shape, strides, ([aAt, bAt, yAt], count, [aStep, bStep, yStep]) => {
      for (let i = 0; i < count; i++) {
        const p = as[aAt + i * aStep];
        const q = bs[bAt + i * bStep];
        ys[yAt + i * yStep] = (op === "equal" ? p === q : p < q) ? 1 : 0;
      }
    });
  } else {
    const [as, bs, ys] = [floats(a), floats(b), floats(y)];
    forEachRun(y.shape, strides, ([aAt, bAt, yAt], count, [aStep, bStep, yStep]) => {
      floatRun(op, as, aAt, aStep, bs, bAt, bStep, ys, yAt, yStep, count);
    });
  }
};

function floatRun(
  op: BinaryOp,
  a: Float32Array,
  aAt: number,
  aStep: number,
  b: Float32Array,
  bAt: number,
  bStep: number,
  y: Float32Array,
  yAt: number,
  yStep: number,
  count: number,
): void {
  switch (op) {
    case "add":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = a[aAt + i * aStep] + b[bAt + i * bStep];
      break;
    case "sub":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = a[aAt + i * aStep] - b[bAt + i * bStep];
      break;
    case "mul":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = a[aAt + i * aStep] * b[bAt + i * bStep];
      break;
    case "div":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = a[aAt + i * aStep] / b[bAt + i * bStep];
      break;
    case "min":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = Math.min(a[aAt + i * aStep], b[bAt + i * bStep]);
      break;
    case "max":
      for (let i = 0; i < count; i++) y[yAt + i * yStep] = Math.max(a[aAt + i * aStep], b[bAt + i * bStep]);
      break;
    default:
      throw new DTypeError(`binary: ${op} must have integer operands, got f32; cast or bitcast them first`);
  }
}

/** Storing the result into an integer array wraps it, so only products need care: they can exceed what f64 holds exactly. */
function ofIntegers(op: BinaryOp, a: number, b: number, signed: boolean): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return Math.imul(a, b);
    case "div":
      return b === 0 ? 0 : Math.trunc(a / b);
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    case "equal":
      return a === b ? 1 : 0;
    case "less":
      return a < b ? 1 : 0;
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shiftLeft":
      return a << b;
    case "shiftRight":
      return signed ? a >> b : a >>> b;
  }
}
