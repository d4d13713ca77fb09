// What f32 arithmetic may do wrong, by kind of hardware: the two error tables that `Backend.features.accuracy` names.
import type { UnaryOp } from "../../backends/backend.js";
import { SMALLEST_NORMAL, ulp } from "./float32.js";

/** The functions that are not exact. */
export type RoundedFunction = Exclude<UnaryOp, "neg" | "abs" | "round">;

export interface Profile {
  readonly name: "ieee" | "wgsl";
  /** The relative error of a correctly rounded operation. */
  readonly unit: number;
  /** What a subnormal result may lose: half a step, or everything where the device flushes. */
  readonly underflow: number;
  /** Whether a subnormal operand may count as 0. */
  readonly flushes: boolean;
  /** Whether NaN and infinities have a meaning. */
  readonly specials: boolean;
  /** Whether a product and a sum after it may become one operation, and chains of them be regrouped. */
  readonly contracts: boolean;
  /** The error of a quotient of magnitude up to y with a divisor of magnitude b. */
  division(y: number, b: number): number;
  /** The error of each function, with an argument up to x (as far from 0 as it may be) and a result of magnitude up to y. */
  readonly functions: Readonly<Record<RoundedFunction, (x: number, y: number) => number>>;
}

const UNIT = 2 ** -24;
const fourUlp = (_: number, y: number): number => 4 * ulp(y);

/** Add, subtract, multiply, divide and square root are correctly rounded, other functions good to 4 ulp. */
export const ieee: Profile = {
  name: "ieee",
  unit: UNIT,
  underflow: 2 ** -150,
  flushes: false,
  specials: true,
  contracts: false,
  division: (y) => UNIT * y,
  functions: {
    exp: fourUlp,
    log: fourUlp,
    sin: fourUlp,
    cos: fourUlp,
    sqrt: (_, y) => UNIT * y,
    rsqrt: fourUlp,
    sigmoid: fourUlp,
    tanh: fourUlp,
  },
};

/** The relative error that n ulp amount to at most. */
const relative = (ulps: number): number => ulps * 2 * UNIT;
const exponential = (x: number, y: number): number => (3 + 2 * Math.abs(x)) * ulp(y);
/** WGSL promises nothing for divisors outside [2^-126, 2^126]; where the quotient vanishes there, so may its error. */
function quotient(y: number, b: number): number {
  if (b > 2 ** 126) return y + SMALLEST_NORMAL;
  return b < SMALLEST_NORMAL ? Infinity : 2.5 * ulp(y);
}
/** Of 1 / (1 + e) with e = exp(-x): the error of e counts by its share in 1 + e. (4 e, since x itself may be smaller by its bound.) */
function sigmoid(x: number, y: number): number {
  const ofE = x > 0 ? exponential(x, Math.min(1, 4 * Math.exp(-x))) : relative(3 + 2 * Math.abs(x)) * y;
  return Math.min(ofE + relative(0.5 + 2.5) * y + SMALLEST_NORMAL, 1);
}

/**
 * The table of the WGSL specification ("Accuracy of concrete floating point expressions"); subnormal numbers may be flushed. It lets a
 * device round either way; that all round to nearest is taken for granted, as the contract has one u. What the table lacks is derived:
 * sigmoid as 1 / (1 + exp(-x)), sqrt as 1 / inverseSqrt(x).
 */
export const wgsl: Profile = {
  name: "wgsl",
  unit: UNIT,
  underflow: SMALLEST_NORMAL,
  flushes: true,
  specials: false,
  contracts: true,
  division: quotient,
  functions: {
    exp: exponential,
    log: (_, y) => (y > 1 ? 3 * ulp(y) : 2 ** -21), // between 1/2 and 2 absolute
    sin: (x) => (Math.abs(x) > Math.PI ? Infinity : 2 ** -11),
    cos: (x) => (Math.abs(x) > Math.PI ? Infinity : 2 ** -11),
    sqrt: (_, y) => relative(2 + 2.5 + 0.5) * y,
    rsqrt: (_, y) => 2 * ulp(y),
    sigmoid,
    tanh: (x, y) => Math.min(Math.max(1e-5, relative(2 * (3 + 2 * Math.abs(x)) + 1 + 2.5) * y), 2),
  },
};

/** The profile that a backend's `features.accuracy` names. */
export const profileNamed = (name: "ieee" | "wgsl"): Profile => (name === "ieee" ? ieee : wgsl);
