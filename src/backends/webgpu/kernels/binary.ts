// An operation on two elements; operands are broadcast.
import type { DType } from "../../../core/dtype.js";
import type { BinaryOp, Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { broadcast, elementwise, type Elementwise } from "../strided.js";

const expressions: Readonly<Record<BinaryOp, string>> = {
  add: "a + b",
  sub: "a - b",
  mul: "a * b",
  div: "a / b",
  min: "min(a, b)",
  max: "max(a, b)",
  equal: "u32(a == b)",
  less: "u32(a < b)",
  and: "a & b",
  or: "a | b",
  xor: "a ^ b",
  shiftLeft: "a << (u32(b) & 31u)",
  shiftRight: "a >> (u32(b) & 31u)",
};

const made = new Map<string, Elementwise>();

/** Of one type of operands, made when it is first asked for. */
function shadersOf(op: BinaryOp, dtype: DType): Elementwise {
  const key = `${op}-${dtype}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  // WGSL divides by 0 as by 1.
  const byZero = op === "div" && dtype !== "f32";
  const shaders = elementwise({
    name: key,
    types: [dtype, dtype],
    result: op === "equal" || op === "less" ? "u32" : dtype,
    expression: byZero ? `select(a / b, ${dtype}(0), b == ${dtype}(0))` : expressions[op],
  });
  made.set(key, shaders);
  return shaders;
}

export const binary =
  (engine: Engine): Kernels["binary"] =>
  ([a, b], [y], { op }) =>
    broadcast(engine, shadersOf(op, a.dtype), y, [a, b]);
