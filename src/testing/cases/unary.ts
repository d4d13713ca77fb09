// unary: every function over its domain; neg and abs of integers too.
import fc from "fast-check";
import type { UnaryOp } from "../../backends/backend.js";
import { abs, cos, exp, log, neg, round, rsqrt, sigmoid, sin, sqrt, tanh } from "../../ops/unary.js";
import type { Tensor } from "../../tensor/tensor.js";
import { anyWords, draw, floats, shapes, special, taste, type DrawnCall, type Taste } from "../arbitraries.js";
import type { PlainOperand } from "../operands.js";

const functions: Readonly<Record<UnaryOp, (x: Tensor) => Tensor>> = {
  ...{ neg, abs, exp, log, sin, cos, sqrt, rsqrt, sigmoid, tanh, round },
};
/** Each function is a case of its own. */
export const unaryOps: readonly UnaryOp[] = Object.keys(functions) as UnaryOp[];

/** Moves drawn numbers into the domain of a function. */
function within(op: UnaryOp, x: PlainOperand, of: Taste): PlainOperand {
  const turned = (map: (x: number) => number): PlainOperand => ({ ...x, data: x.data.map(map) });
  switch (op) {
    case "log":
    case "sqrt":
    case "rsqrt":
      return turned((x) => Math.abs(x) + (of === "wide" ? 2 ** -20 : 2 ** -4));
    case "sin":
    case "cos":
      return turned((x) => (Math.abs(x) > 3.14 ? x % 3.14 : x)); // where WGSL promises something
    case "exp":
      return turned((x) => Math.max(Math.min(8 * x, 80), -80));
    case "round":
      return turned((x) => (of === "ties" ? x / 2 : 10 * x));
    default:
      return x;
  }
}

export const unaryCase = (op: UnaryOp): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, taste, integers: fc.boolean() }, ({ shape, taste, integers }, random) => {
    const ofIntegers = integers && (op === "neg" || op === "abs");
    return {
      inputs: [ofIntegers ? anyWords(random, shape, "i32") : within(op, floats(random, shape, taste), taste)],
      run: ([x]) => [functions[op](x)],
      params: ofIntegers ? [] : [0],
      smooth: op === "abs" ? taste === "grid" : op !== "round" && taste === "normal",
    };
  });

/** All functions of NaN, infinities, zeros and numbers outside the domain. */
export const unarySpecialCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes }, ({ shape }, random) => {
    const x = special(random, shape);
    // Arguments that only an exact reduction by 2 pi would serve are left out.
    const near = x.data.map((x) => (Math.abs(x) > 8192 && Number.isFinite(x) ? 1 : x)) as Float32Array<ArrayBuffer>;
    return {
      inputs: [x, { shape, data: near }],
      run: ([x, near]) => unaryOps.map((op) => functions[op](op === "sin" || op === "cos" ? near : x)),
    };
  });
