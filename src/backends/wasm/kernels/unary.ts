// One function of one number, elementwise; neg and abs of integers too.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels, UnaryOp } from "../../backend.js";
import * as codes from "../codes.js";
import type { Engine } from "../engine.js";
import { launchElements } from "../rows.js";

/** The function's number, and what one element costs. */
const functions: Readonly<Record<UnaryOp, readonly [code: number, operations: number]>> = {
  neg: [codes.NEG, 1],
  abs: [codes.ABS, 1],
  exp: [codes.EXP, 6],
  log: [codes.LOG, 40],
  sin: [codes.SIN, 80],
  cos: [codes.COS, 80],
  sqrt: [codes.SQRT, 2],
  rsqrt: [codes.RSQRT, 4],
  sigmoid: [codes.SIGMOID, 8],
  tanh: [codes.TANH, 12],
  round: [codes.ROUND, 1],
};

export const unary =
  (engine: Engine): Kernels["unary"] =>
  ([x], [y], { op }) => {
    const [code, operations] = functions[op];
    const ofIntegers = op === "neg" ? codes.NEG_INTEGER : codes.ABS_INTEGER;
    const words = [engine.at(x), engine.at(y), x.dtype === "f32" ? code : ofIntegers];
    launchElements(engine, codes.UNARY, sizeOf(y.shape), operations, words);
  };
