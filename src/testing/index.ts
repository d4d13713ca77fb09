// The public names of `qwen-blocks/testing`: the laws that any backend must obey, and the oracle that judges them.
export {
  BrokenLaw,
  conformanceCases,
  type Again,
  type ConformanceCase,
  type ConformanceOptions,
} from "./conformance.js";
export { attentionFunctionCases, type AttentionFunctionOptions } from "./attention-functions.js";
export { oracle, type Estimate, type Oracle } from "./oracle/oracle.js";
