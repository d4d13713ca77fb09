// Numbers as the words that stand for them in memory.
import type { DType } from "../../core/dtype.js";

/** The bits of the nearest f32, or of a whole number modulo 2^32 after its fraction is cut off. */
export const wordOf = (value: number, dtype: DType): number =>
  dtype === "f32" ? new Uint32Array(Float32Array.of(value).buffer)[0] : Math.trunc(value) >>> 0;
