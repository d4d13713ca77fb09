// Drawn calls of every fused op, small shapes and 0 rows included. Knows no test runner, so that a conformance suite can take it over.
import type fc from "fast-check";
import type { FusedOps } from "../../../src/backends/backend.js";
import { attentionCases } from "./attention.js";
import { denseCases } from "./dense.js";
import type { OpCase } from "./draw.js";
import { expertsCases } from "./experts.js";

export const cases: { readonly [K in keyof FusedOps]: fc.Arbitrary<OpCase> } = {
  ...denseCases,
  ...attentionCases,
  ...expertsCases,
};
