// What a case runs on, and the names of the laws that it checks.
import type { Backend, OpName } from "../backends/backend.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Tally } from "./compare.js";
import { oracle, type Oracle } from "./oracle/oracle.js";

/** The laws by name, as failures report them. */
export const laws = {
  value: "the value lies within the oracle's bound",
  written: "every output element is written",
  outside: "nothing outside the outputs is written",
  inputs: "inputs stay unchanged",
  deterministic: "two runs give the same bits",
  offset: "results do not depend on where operands lie",
  declined: "a kernel that declines has written nothing",
  composite: "the composite on this backend lies within the oracle's bound, like the kernel",
  gradient: "the gradient lies within the bound of the oracle's",
  definition: "the gradient rule is the derivative of the composite",
  memory: "memory returns to where it began",
  own: "the op's own law",
} as const;

/** A law that a backend broke. */
export class BrokenLaw extends Error {
  readonly law: keyof typeof laws;

  constructor(law: keyof typeof laws, what: string) {
    super(`${laws[law]}: ${what}`);
    this.law = law;
  }
}

/** What a case runs on. */
export interface Bench {
  readonly op: OpName;
  readonly backend: Backend;
  /** Under the profile that the backend states. */
  readonly oracle: Oracle;
  /** Correctly rounded, for what is compared in f64. */
  readonly exact: Oracle;
  readonly tally: Tally;
}

export function benchOf(op: OpName, backend: Backend): Bench {
  const exact = oracle("ieee");
  const { accuracy } = backend.features;
  const tally = { drawn: 0, compared: 0, native: 0 };
  return { op, backend, oracle: accuracy === "ieee" ? exact : oracle(accuracy), exact, tally };
}

/** Without the outputs that nobody asked for. */
export const present = (outputs: readonly (Tensor | undefined)[]): Tensor[] => outputs.filter((y) => y !== undefined);
