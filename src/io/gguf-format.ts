// What the GGUF format fixes, for its reader and its writer: version 3, little-endian (ggml: docs/gguf.md, ggml.h).
import type { BlockDType } from "./stored-blocks.js";

/** The first four bytes. */
export const GGUF_MAGIC = "GGUF";
export const MAGIC_NUMBER = 0x46554747;
export const VERSION = 3;
export const DEFAULT_ALIGNMENT = 32;
export const MAX_KEY_BYTES = 65535;
export const MAX_NAME_BYTES = 64;
export const MAX_RANK = 4;

/** The element types that are read and written. */
export type GgufDType = BlockDType | "F32" | "F16" | "BF16";

/** Their ids. */
export const tensorTypeIds: Readonly<Record<GgufDType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  BF16: 30,
  MXFP4: 39,
};
