// One function of two numbers of one type, elementwise with broadcasting.
import type { BinaryOp, Kernels } from "../../backend.js";
import * as codes from "../codes.js";
import type { Engine } from "../engine.js";
import { elementwise } from "../strided.js";

const codeOf: Readonly<Record<BinaryOp, number>> = {
  add: codes.ADD,
  sub: codes.SUB,
  mul: codes.MUL,
  div: codes.DIV,
  min: codes.MIN,
  max: codes.MAX,
  equal: codes.EQUAL,
  less: codes.LESS,
  and: codes.AND,
  or: codes.OR,
  xor: codes.XOR,
  shiftLeft: codes.SHIFT_LEFT,
  shiftRight: codes.SHIFT_RIGHT,
};

export const binary =
  (engine: Engine): Kernels["binary"] =>
  (operands, [y], { op }) =>
    elementwise(engine, codeOf[op], y, operands);
