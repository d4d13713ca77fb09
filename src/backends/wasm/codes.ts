// What a command does: its first word. Read by the kernels here and by assembly/tiles.ts, so this file is TypeScript and AssemblyScript at once.

// products
export const PACK = 1;
export const GEMM = 2;
export const GEMM_ROWS = 3;

// primitives: 100 and up

// rows and elements: 200 and up

// attention: 300 and up
export const ROPE = 300;
export const QK_NORM_ROPE = 301;
export const APPEND_KV = 302;
export const ATTENTION = 303;
export const ATTENTION_MERGE = 304;
export const ATTENTION_MEANS = 305;
export const ATTENTION_GRAD_QUERIES = 306;
export const ATTENTION_GRAD_KEYS = 307;
export const ATTENTION_POOL = 308;

// experts: 400 and up
