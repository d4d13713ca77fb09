// Q5_0 and Q5_1 as GGUF defines them: as Q4_0 and Q4_1 with a fifth bit, which files keep apart and which stands with the others here.
import { extremeScheme, rangeScheme } from "./ggml-blocks.js";
import type { Scheme } from "./scheme.js";

/** 5.5 bits per weight. Within half a scale, |extreme| / 32; up to a whole one where codes stop at 15, at the end that the extreme is not at. */
export const q5_0: Scheme = /* @__PURE__ */ extremeScheme("q5_0", 5, "int");

/** 6 bits per weight. Within half a scale, (max - min) / 62, and the f16 rounding of scale and offset. */
export const q5_1: Scheme = /* @__PURE__ */ rangeScheme("q5_1", 5);
