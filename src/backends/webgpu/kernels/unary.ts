// A function of each element.
import type { Kernels, UnaryOp } from "../../backend.js";
import type { Engine } from "../engine.js";
import { broadcast, elementwise, type Elementwise } from "../strided.js";
import { sigmoid } from "../wgsl.js";

const ofFloats = (op: string, expression: string, functions?: string): Elementwise =>
  elementwise({ name: op, types: ["f32"], result: "f32", expression, functions });
const ofBits = (op: string, expression: string): Elementwise =>
  elementwise({ name: op, types: ["u32"], result: "u32", expression });
const ofIntegers = (op: string, expression: string): Elementwise =>
  elementwise({ name: `${op}-i32`, types: ["i32"], result: "i32", expression });

const floats: Readonly<Record<UnaryOp, Elementwise>> = {
  neg: ofBits("neg", "a ^ 0x80000000u"),
  abs: ofBits("abs", "a & 0x7fffffffu"),
  exp: ofFloats("exp", "exp(a)"),
  log: ofFloats("log", "log(a)"),
  sin: ofFloats("sin", "sin(a)"),
  cos: ofFloats("cos", "cos(a)"),
  sqrt: ofFloats("sqrt", "sqrt(a)"),
  rsqrt: ofFloats("rsqrt", "inverseSqrt(a)"),
  sigmoid: ofFloats("sigmoid", "sigmoid(a)", sigmoid),
  // Far out some devices divide an infinity by another.
  tanh: ofFloats("tanh", "tanh(clamp(a, -20.0, 20.0))"),
  round: ofFloats("round", "round(a)"),
};
const integers = { neg: ofIntegers("neg", "-a"), abs: ofIntegers("abs", "abs(a)") };

export const unary =
  (engine: Engine): Kernels["unary"] =>
  ([x], [y], { op }) =>
    broadcast(engine, x.dtype === "i32" ? integers[op as "neg" | "abs"] : floats[op], y, [x]);
