// binary: every function, broadcast in every way, over floats and both kinds of integers (which wrap; division by 0 gives 0).
import type fc from "fast-check";
import type { BinaryOp } from "../../backends/backend.js";
import type { Random } from "../../core/random.js";
import {
  add,
  and,
  div,
  equal,
  less,
  maximum,
  minimum,
  mul,
  or,
  shiftLeft,
  shiftRight,
  sub,
  xor,
} from "../../ops/binary.js";
import type { Tensor } from "../../tensor/tensor.js";
import { anyType, anyWords, draw, floats, GRID, shapes, special, taste, type DrawnCall } from "../arbitraries.js";

const functions: Readonly<Record<BinaryOp, (a: Tensor, b: Tensor) => Tensor>> = {
  ...{ add, sub, mul, div, min: minimum, max: maximum, equal, less, and, or, xor, shiftLeft, shiftRight },
};
/** Each function is a case of its own. */
export const binaryOps: readonly BinaryOp[] = Object.keys(functions) as BinaryOp[];
const onIntegers: readonly string[] = ["and", "or", "xor", "shiftLeft", "shiftRight"];

/** Two shapes that broadcast to `shape`: axes become 1, leading ones are left out. */
function broadcast(random: Random, shape: readonly number[]): readonly [a: number[], b: number[]] {
  const some = (): number[] => shape.map((extent) => (random.integer(4) === 0 ? 1 : extent));
  const [a, b] = [some(), some()];
  if (random.integer(3) === 0) b.splice(0, random.integer(b.length + 1));
  return random.integer(2) === 0 ? [a, b] : [b, a];
}

export const binaryCase = (op: BinaryOp): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType, taste }, ({ shape, dtype, taste }, random) => {
    const type = dtype === "f32" && onIntegers.includes(op) ? "u32" : dtype;
    const [a, b] = broadcast(random, shape);
    if (type !== "f32") {
      return {
        inputs: [anyWords(random, a, type), anyWords(random, b, type)],
        run: ([a, b]) => [functions[op](a, b)],
      };
    }
    const right = floats(random, b, taste);
    if (op === "div")
      for (let i = 0; i < right.data.length; i++) if (Math.abs(right.data[i]) < 2 ** -20) right.data[i] = 1;
    const kinked = op === "min" || op === "max";
    if (taste === "grid") right.data.forEach((x, i, data) => (data[i] = x + GRID / 2));
    return {
      inputs: [floats(random, a, taste), right],
      run: ([a, b]) => [functions[op](a, b)],
      params: op === "equal" || op === "less" ? [] : [0, 1],
      smooth: kinked ? taste === "grid" : taste === "normal" && op !== "div",
    };
  });

/** NaN, infinities and zeros. Which of two operands min and max take, if one is NaN, is not part of the contract. */
export const binarySpecialCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes }, ({ shape }, random) => ({
    inputs: [special(random, shape), special(random, shape)],
    run: ([a, b]) => (["add", "sub", "mul", "div", "equal", "less"] as const).map((op) => functions[op](a, b)),
  }));
