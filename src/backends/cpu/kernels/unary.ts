// One function of one number, elementwise. neg and abs also exist for integers, where they wrap.
import { DTypeError } from "../../../core/errors.js";
import type { Kernel, UnaryOp } from "../../backend.js";
import { elements, floats } from "../read.js";

export const unary: Kernel<"unary", void> = ([x], [y], { op }) => {
  if (x.dtype === "f32") {
    unaryFloats(op, floats(x), floats(y));
    return;
  }
  const from = elements(x);
  const to = elements(y);
  if (op === "neg") for (let i = 0; i < to.length; i++) to[i] = -from[i];
  else if (op === "abs") for (let i = 0; i < to.length; i++) to[i] = Math.abs(from[i]);
  else throw new DTypeError(`unary: ${op} must have an f32 operand, got ${x.dtype}; cast it first`);
};

function unaryFloats(op: UnaryOp, x: Float32Array, y: Float32Array): void {
  const n = y.length;
  switch (op) {
    case "neg":
      for (let i = 0; i < n; i++) y[i] = -x[i];
      break;
    case "abs":
      for (let i = 0; i < n; i++) y[i] = Math.abs(x[i]);
      break;
    case "exp":
      for (let i = 0; i < n; i++) y[i] = Math.exp(x[i]);
      break;
    case "log":
      for (let i = 0; i < n; i++) y[i] = Math.log(x[i]);
      break;
    case "sin":
      for (let i = 0; i < n; i++) y[i] = Math.sin(x[i]);
      break;
    case "cos":
      for (let i = 0; i < n; i++) y[i] = Math.cos(x[i]);
      break;
    case "sqrt":
      for (let i = 0; i < n; i++) y[i] = Math.sqrt(x[i]);
      break;
    case "rsqrt":
      for (let i = 0; i < n; i++) y[i] = 1 / Math.sqrt(x[i]);
      break;
    case "sigmoid":
      for (let i = 0; i < n; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
      break;
    case "tanh":
      for (let i = 0; i < n; i++) y[i] = Math.tanh(x[i]);
      break;
    case "round":
      for (let i = 0; i < n; i++) y[i] = roundHalfToEven(x[i]);
  }
}

/** Adding 1.5 * 2^52 makes f64 arithmetic round to an integer, ties to even; a zero keeps the sign of x. */
function roundHalfToEven(x: number): number {
  if (Math.abs(x) >= 2 ** 23) return x;
  const rounded = x + 6755399441055744 - 6755399441055744;
  return rounded === 0 ? x * 0 : rounded;
}
