// Q4_0 and Q4_1 as GGUF defines them (ggml-quants.c; the gguf package is the reference of the bits).
import { extremeScheme, rangeScheme } from "./ggml-blocks.js";
import type { Scheme } from "./scheme.js";

/** 4.5 bits per weight. Within half a scale, |extreme| / 16; up to a whole one where codes stop at 7, at the end that the extreme is not at. */
export const q4_0: Scheme = /* @__PURE__ */ extremeScheme(
  "q4_0",
  4,
  [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7],
);

/** 5 bits per weight. Within half a scale, (max - min) / 30, and the f16 rounding of scale and offset. */
export const q4_1: Scheme = /* @__PURE__ */ rangeScheme("q4_1", 4);
